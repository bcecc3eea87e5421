/** Addresses as text, both ways: mostly it is the one of the time before, which costs no conversion. */
import { formatIpv4, type Ipv4Address, parseIpv4 } from '../address/ipv4-address.ts'

export class AddressTexts {
  #text = ''
  #address: Ipv4Address = 0
  #formatted: Ipv4Address = 0
  #formattedText = '0.0.0.0'

  parse(text: string): Ipv4Address {
    if (text === this.#text && text !== '') return this.#address
    this.#address = parseIpv4(text)
    this.#text = text
    return this.#address
  }

  format(address: Ipv4Address): string {
    if (address === this.#formatted) return this.#formattedText
    this.#formatted = address
    return (this.#formattedText = formatIpv4(address))
  }
}
