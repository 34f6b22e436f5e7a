// SPDX-License-Identifier: Apache-2.0
// The internet checksum (RFC 1071) and the pseudo headers that transports put under it.

/** The checksum of bytes in which the checksum's own field is zero; of bytes that include a right one, 0. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0
  for (let n = 0; n < bytes.length; n += 2) sum += (bytes[n]! << 8) | (bytes[n + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return ~sum & 0xffff
}

/** IPv4's or IPv6's, by the length of the addresses. */
export function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(length, 0)
  tail[7] = protocol
  return Buffer.concat([source, destination, tail])
}
