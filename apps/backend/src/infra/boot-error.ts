/** A backend cannot start for a reason outside of it. The message says what to do; it is all that is printed. */
export class BootError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BootError';
  }
}
