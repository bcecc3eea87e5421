/** A script that asks for what cannot be played here. */
export class NotPlayable extends Error {}
