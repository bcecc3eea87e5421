/** What is known of a datagram that was read, in words: made only where it is asked for. */
import type { DeviceTable } from '../device/net-device.ts'
import { AddressTexts } from './address-texts.ts'
import type { DatagramInfo } from './datagram-queue.ts'

/** Who and what `socket.receiveInto()` has read last. Reused by the next call. */
export interface UdpReceived {
  /** Bytes of the datagram; more than were copied if the buffer was too small. */
  readonly length: number
  readonly address: string
  readonly port: number
  readonly to: string
  readonly device: string
  readonly ttl: number
  readonly tos: number
  readonly segmentSize: number
}

export class Received implements UdpReceived {
  readonly #info: DatagramInfo
  readonly #devices: DeviceTable
  readonly #from = new AddressTexts()
  readonly #to = new AddressTexts()

  constructor(info: DatagramInfo, devices: DeviceTable) {
    this.#info = info
    this.#devices = devices
  }

  get length(): number {
    return this.#info.length
  }

  get address(): string {
    return this.#from.format(this.#info.source)
  }

  get port(): number {
    return this.#info.port
  }

  get to(): string {
    return this.#to.format(this.#info.destination)
  }

  get device(): string {
    return this.#devices.byIndex(this.#info.device)?.name ?? ''
  }

  get ttl(): number {
    return this.#info.ttl
  }

  get tos(): number {
    return this.#info.tos
  }

  get segmentSize(): number {
    return this.#info.segmentSize
  }
}
