/** The services that both sides of the comparison have. */
export { CLOSED, DISCARD, ECHO } from '../../conformance/tcp-peer.ts'

/** Says that it has nothing to say as soon as it is asked, and reads on. */
export const CLOSER = 13
