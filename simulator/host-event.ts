/** An event that a guest sent. */
export interface HostEvent {
  /** counts from 1, without gaps */
  readonly sequence: number;
  /** milliseconds since the epoch */
  readonly at: number;
  readonly event: string;
  readonly payload: string;
}
