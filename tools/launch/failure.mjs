/** A failure that a person can act on: printed as one message, without a stack. */
export class Failure extends Error {
  /**
   * @param {string} message what is wrong
   * @param {string} [fix] what to do about it
   */
  constructor(message, fix) {
    super(fix ? `${message}\n  ${fix}` : message);
    this.name = 'Failure';
    /** Whether waiting may help: a wait goes on after such a failure, and ends with any other. */
    this.passing = false;
  }
}
