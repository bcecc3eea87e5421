/**
 * The public surface of tunstack that runs anywhere: in Node, a worker, a browser. What needs Node or Linux is
 * behind entries of its own: `tunstack/tun`, `tunstack/tuntap2`.
 */
export { formatIpv4, parseIpv4 } from './address/ipv4-address.ts'
export type {
  AddressEntry,
  LinkEntry,
  NexthopEntry,
  NexthopObjectEntry,
  RouteEntry,
  RuleEntry,
  StackConfiguration,
} from './configuration/configuration.ts'
export { ConfigurationError, type ConfigurationErrorCode } from './configuration/configuration-error.ts'
export {
  fromKernel,
  type KernelNames,
  type KernelStack,
  type KernelState,
  type SkippedPart,
} from './configuration/from-kernel.ts'
export { loadBatch, loadJson, stackFromJson } from './configuration/load.ts'
export { PlaceholderDevice, type PlaceholderOptions } from './configuration/placeholder-device.ts'
export { type SysctlValue, saveBatch, saveJson, saveSysctls } from './configuration/save.ts'
export { type CaptureLinkDevice, captureDevice, type PacketObserver } from './device/capture.ts'
export { type ImpairedDevice, type ImpairOptions, impairDevice } from './device/impair/impair.ts'
export type { Impairment, LinkPath, PathCounters } from './device/impair/link-path.ts'
export type { CoDelOptions, DropTailOptions, QueueOption } from './device/impair/link-queue.ts'
export type { BurstLoss } from './device/impair/loss.ts'
export {
  type LinkDevice,
  type LinkFeatures,
  LinkFlag,
  type LinkHost,
  type LinkType,
  NO_FEATURES,
} from './device/link-device.ts'
export { LinkStat, type LinkStatName, LinkStats } from './device/link-stats.ts'
export { Loopback, type LoopbackOptions } from './device/loopback.ts'
export {
  type NatDevice,
  type NatFiltering,
  type NatMapping,
  type NatOptions,
  natDevice,
} from './device/nat/nat.ts'
export {
  fromPacketStream,
  type PacketDuplex,
  type PacketStreamDevice,
  type PacketStreamOptions,
} from './device/packet-stream.ts'
export { createPipe, type PipeOptions } from './device/pipe.ts'
export { type ErrorDetails, TunstackError } from './errors.ts'
export { type IpInput, type IpResult, ip } from './iproute2/ip.ts'
export type { Capture, CapturedPacket, CaptureOptions, CaptureRecord } from './observe/capture.ts'
export type { Mib, MibSnapshot } from './observe/mib.ts'
export { type ByteSink, type PcapngOptions, PcapngWriter } from './observe/pcapng.ts'
export { BURST_SIZE, Burst } from './packet/burst.ts'
export { Checksum, Gso, type Packet, PacketType } from './packet/packet.ts'
export { PacketPool, type PacketPoolOptions } from './packet/packet-pool.ts'
export type { EchoError, EchoReply, Icmp, IcmpOptions, IcmpSocket } from './ping/icmp-socket.ts'
export type { AbortSignalLike, PingOptions } from './ping/ping.ts'
export type { PathMtuDiscovery } from './ping/ping-endpoint.ts'
export type { PingProbe, PingResult } from './ping/ping-result.ts'
export { type RandomSource, systemRandom } from './random/random.ts'
export { seededRandom } from './random/seeded.ts'
export type { Raw } from './raw/raw.ts'
export type { RawMessage, RawOptions, RawSocket } from './raw/raw-socket.ts'
export type { RouteAddMode } from './route/fib-types.ts'
export { NetlinkError } from './route/rtnetlink.ts'
export type { ExplainOptions, ExplainStep, Explanation, Verdict } from './stack/explain.ts'
export type { AddAddressOptions, Interface } from './stack/interface.ts'
export type { RouteOptions, Routes } from './stack/routes.ts'
export { type AddDeviceOptions, Stack, type StackOptions } from './stack/stack.ts'
export type { DeviceConf } from './sysctl/device-conf.ts'
export type { Sysctl } from './sysctl/sysctl.ts'
export type { CongestionControlName } from './sysctl/tcp-settings.ts'
export type { TcpStateName } from './tcp/tcb.ts'
export type { TcpUsage } from './tcp/tcp.ts'
export type {
  TcpAbortSignal,
  TcpApi,
  TcpConnectOptions,
  TcpDestinationMetrics,
  TcpListenAllOptions,
  TcpListenOptions,
  TcpSocketOptions,
} from './tcp/tcp-api.ts'
export type { TcpInfo } from './tcp/tcp-info.ts'
export type { TcpCatchAll, TcpRequest, TcpServer } from './tcp/tcp-server.ts'
export type { TcpSocket } from './tcp/tcp-socket.ts'
export type { RetransmitReason, TcpEvent, TcpEventListener } from './tcp/trace.ts'
export { type Clock, MICROSECOND, MILLISECOND, SECOND, type TimerHandle } from './time/clock.ts'
export { systemClock } from './time/system-clock.ts'
export { VirtualClock } from './time/virtual-clock.ts'
export type { UdpReceived } from './udp/received.ts'
export type { Udp } from './udp/udp.ts'
export type { UdpCatchAll, UdpCatchAllMessage, UdpCatchAllOptions } from './udp/udp-catch-all.ts'
export type {
  UdpAddress,
  UdpBindOptions,
  UdpErrorReport,
  UdpGroupOptions,
  UdpMessage,
  UdpPathMtuDiscovery,
  UdpSendOptions,
} from './udp/udp-options.ts'
export type { UdpSocket, UdpSocketCounters } from './udp/udp-socket.ts'
export type { Duration, Probability, Rate, Size } from './units.ts'
export { DropReason, dropReasonName } from './wire/drop-reason.ts'
export { formatIpv4Packet } from './wire/ipv4.ts'
