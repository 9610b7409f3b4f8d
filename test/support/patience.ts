/**
 * By how much a test waits longer for a level than a quiet machine needs. Machines that are shared can be several times
 * slower; waiting longer costs nothing where the level is reached, and how fast it is reached is the benches' affair.
 */
export const PATIENCE = 3;
