/**
 * What an end of main tells the supervisor: nothing that a restart or a reset can mend, a person must act (a mistake in
 * the configuration, a wrong environment). EX_CONFIG of sysexits.h. Any other code counts as a failure.
 */
export const EXIT_NEEDS_PERSON = 78;
