/** Addresses of the link layer as iproute2 writes them. */
export function formatLinkAddress(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}
