/**
 * What an end of main tells the supervisor: nothing that a restart or a reset can mend, a person must act (a mistake in
 * the configuration, a wrong environment). EX_CONFIG of sysexits.h.
 */
export const EXIT_NEEDS_PERSON = 78;
/** Main is done with this life: the next one is to begin at once, and nothing is wrong. EX_TEMPFAIL of sysexits.h. */
export const EXIT_RESTART = 75;
