/**
 * What can go wrong with a TUN device, told so that a person knows what to do. The kernel answers with an errno
 * that means different things at different calls; here each pair becomes one stable code and one sentence.
 */
import { getSystemErrorName } from 'node:util'
import { Errno, TunstackError } from '../../errors.ts'

/** Errno numbers that only this driver meets. */
const ENOTDIR = 20
const EISDIR = 21
const ENOTTY = 25
const ENFILE = 23
const EBADF = 9

export interface OpenContext {
  readonly devicePath: string
  readonly name: string
  /** An interface of that name exists in the present network namespace. */
  readonly exists: boolean
}

/** @throws TunstackError `ERR_TUN_UNSUPPORTED_PLATFORM` */
export function checkPlatform(): void {
  if (process.platform === 'linux') return
  throw new TunstackError(
    'ERR_TUN_UNSUPPORTED_PLATFORM',
    `TUN devices need Linux; this is ${process.platform}. The stack itself runs here: attach another device to it`,
    { value: process.platform },
  )
}

/** Opening, or `TUNSETIFF`, failed with the (negative) errno. */
export function openError(errno: number, syscall: string, context: OpenContext): TunstackError {
  const { devicePath, name } = context
  const number = -errno
  if (syscall === 'open') {
    const details = { errno, syscall, value: devicePath }
    if (number === Errno.EACCES || number === Errno.EPERM) {
      return new TunstackError(
        'ERR_TUN_PERMISSION',
        `no permission to open ${devicePath}: run as root, or let this user read and write it ('chmod 0666 ${devicePath}'); in a container add '--device ${devicePath}'`,
        details,
      )
    }
    if (isNoDeviceNode(number)) return noDeviceNode(devicePath, number, details)
    return systemError(errno, syscall, `cannot open ${devicePath}`, devicePath)
  }
  const details = { errno, syscall, value: name }
  switch (number) {
    case Errno.EPERM:
      return new TunstackError('ERR_TUN_PERMISSION', noPermissionToAttach(context), details)
    case Errno.EBUSY:
    case Errno.EEXIST:
      return new TunstackError(
        'ERR_TUN_NAME_TAKEN',
        `'${name}' is in use by another process: close it there, or choose another name (without a name the kernel chooses)`,
        details,
      )
    case ENOTTY:
      return noDeviceNode(devicePath, number, { errno, syscall, value: devicePath })
    case ENFILE:
      return new TunstackError(
        'ERR_TUN_NAME_TAKEN',
        `every name of the form '${name}' is taken: choose another`,
        details,
      )
    case Errno.EINVAL:
      if (!context.exists) return invalidName(name)
      return new TunstackError(
        'ERR_TUN_NOT_A_TUN',
        `'${name}' exists and is no TUN device of the plain kind (it may be a TAP, multi-queue, or something else: see 'ip -d link show ${name}'): choose another name, or delete it with 'ip link delete ${name}'`,
        details,
      )
    default:
      return systemError(errno, syscall, `cannot attach to ${name === '' ? 'a new TUN' : `'${name}'`}`, name)
  }
}

/** The network namespace could not be entered. */
export function namespaceError(errno: number, syscall: string, path: string): TunstackError {
  const details = { errno, syscall, value: path }
  switch (-errno) {
    case Errno.EPERM:
    case Errno.EACCES:
      return new TunstackError(
        'ERR_TUN_PERMISSION',
        `this user may not enter the network namespace ${path}: run as root, or make it as this user, together with a user namespace ('unshare -rn')`,
        details,
      )
    case Errno.ENOENT:
    case Errno.EINVAL:
      return new TunstackError(
        'ERR_TUN_NO_NAMESPACE',
        `there is no network namespace ${path}: it is the id of a process that lives, a path as /proc/PID/ns/net, or a name that 'ip netns' lists`,
        details,
      )
    case Errno.EOPNOTSUPP:
      return new TunstackError(
        'ERR_TUN_NO_ADDON',
        'a TUN device in another network namespace needs the native addon; koffi cannot open one',
        details,
      )
    default:
      return systemError(errno, syscall, `cannot enter the network namespace ${path}`, path)
  }
}

function isNoDeviceNode(errno: number): boolean {
  const { ENOENT, ENXIO, ENODEV } = Errno
  return [ENOENT, ENXIO, ENODEV, ENOTDIR, EISDIR].includes(errno)
}

function noDeviceNode(path: string, errno: number, details: object): TunstackError {
  const missing = errno === Errno.ENOENT || errno === ENOTDIR
  const how = `mkdir -p /dev/net && mknod ${path} c 10 200 && chmod 0666 ${path}`
  const text = missing
    ? `there is no ${path}: load the driver with 'modprobe tun', or make the node with '${how}'; in a container add '--device /dev/net/tun'`
    : `${path} is no TUN device node, or the driver is not loaded: try 'modprobe tun'; the node is made with '${how}'`
  return new TunstackError('ERR_TUN_NO_DEVICE_NODE', text, details)
}

function noPermissionToAttach({ name, exists }: OpenContext): string {
  if (exists) {
    return `the kernel does not let this user attach to '${name}': it belongs to another; run with CAP_NET_ADMIN, or give it to this user with 'ip tuntap add dev ${name} mode tun user <name>'`
  }
  return `the device node opened, but creating a TUN needs CAP_NET_ADMIN: run as root (in a container '--cap-add NET_ADMIN'), or have one made for this user with 'ip tuntap add dev tun0 mode tun user <name>' and open it by name`
}

/** The name cannot be an interface's name. */
export function invalidName(name: unknown): TunstackError {
  return new TunstackError(
    'ERR_TUN_NAME_INVALID',
    `'${String(name)}' cannot be an interface's name: 1 to 15 bytes without '/', ':' or white space, not '.' or '..', and no '%' but one '%d', which the kernel replaces by a number`,
    { errno: Errno.EINVAL, value: name, syscall: 'TUNSETIFF' },
  )
}

/** Reading or changing the kernel's side of the link failed. */
export function configureError(errno: number, what: string, name: string, value: unknown): TunstackError {
  const details = { errno, syscall: what, value }
  switch (-errno) {
    case Errno.EPERM:
    case Errno.EACCES:
      return new TunstackError(
        'ERR_TUN_PERMISSION',
        `no permission to set the ${what} of '${name}': run with CAP_NET_ADMIN, or leave the option out and have the interface set up beforehand ('ip addr add', 'ip link set ${name} up')`,
        details,
      )
    case EBADF:
      return closedError(name)
    case Errno.EBADFD:
    case Errno.ENODEV:
      return goneError(name, errno)
    default:
      return systemError(
        errno,
        what,
        value === undefined
          ? `cannot read the ${what} of '${name}'`
          : `cannot set the ${what} of '${name}' to ${String(value)}`,
        value,
      )
  }
}

/** The interface was deleted under the open device. */
export function goneError(name: string, errno: number): TunstackError {
  return new TunstackError(
    'ERR_TUN_GONE',
    `the interface '${name}' was deleted while it was open: open it again`,
    { errno, value: name },
  )
}

export function closedError(name: string): TunstackError {
  return new TunstackError('ERR_TUN_CLOSED', `'${name}' is closed: open it again with openTun()`, {
    value: name,
  })
}

/** Why the kernel refused a packet, or ended reading. */
export function transferError(errno: number, syscall: 'read' | 'write', name: string): TunstackError {
  const details = { errno, syscall, value: name }
  switch (-errno) {
    case Errno.EBADFD:
      return goneError(name, errno)
    case Errno.EIO:
      return new TunstackError(
        'ERR_TUN_DOWN',
        `the kernel's interface '${name}' is down: bring it up with 'ip link set ${name} up'`,
        details,
      )
    case Errno.EINVAL:
      return new TunstackError(
        'EINVAL',
        `the kernel refused a packet on '${name}': it is no IP packet`,
        details,
      )
    default:
      return systemError(errno, syscall, `cannot ${syscall} '${name}'`, name)
  }
}

/** An errno that has no code of its own here: the code is its name. */
function systemError(errno: number, syscall: string, what: string, value: unknown): TunstackError {
  const code = getSystemErrorName(-Math.abs(errno))
  return new TunstackError(code, `${what}: ${code} (${syscall})`, { errno, syscall, value })
}
