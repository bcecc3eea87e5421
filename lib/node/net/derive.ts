/**
 * Classes derived from Node's own, in Node's own style: functions that work without `new`, and for those who inherit
 * from them by `util.inherits`, as older programs do.
 */

export type Callback = (...args: unknown[]) => unknown

/**
 * A function that makes instances of it by `base`, with a prototype behind which is that of `base`.
 * @param before what `base` gets instead of the arguments
 */
export function derive(
  base: unknown,
  name: string,
  before: (args: unknown[]) => unknown[] = (args) => args,
): { (...args: unknown[]): object; prototype: object } {
  function Derived(this: unknown, ...args: unknown[]): object {
    if (!(this instanceof Derived)) return Reflect.construct(Derived, args)
    Reflect.apply(base as Callback, this, before(args))
    return this
  }
  Object.defineProperty(Derived, 'name', { value: name, configurable: true })
  Object.setPrototypeOf(Derived, base as object)
  Derived.prototype = Object.create((base as { prototype: object }).prototype) as object
  define(Derived.prototype, { constructor: Derived })
  return Derived as unknown as ReturnType<typeof derive>
}

/** Gives a prototype methods, as those of Node's are. */
export function define(prototype: object, members: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(prototype, name, {
      value,
      writable: true,
      configurable: true,
      enumerable: name !== 'constructor',
    })
  }
}

/** How a server of `net` listens: what servers of http, https and tls have of it. */
export function listensAs(net: typeof import('node:net')): Record<string, unknown> {
  return { ...(net.Server.prototype as unknown as Record<string, unknown>) }
}

/** A module of Node with some of its members replaced; what it makes when it is first asked for stays so. */
export function withMembers<T extends object>(module: T, members: Record<string, unknown>): T {
  const { default: _, ...descriptors } = Object.getOwnPropertyDescriptors(module) as Record<
    string,
    PropertyDescriptor
  >
  const made = Object.defineProperties({}, descriptors)
  for (const [name, value] of Object.entries(members)) {
    Object.defineProperty(made, name, { value, writable: true, configurable: true, enumerable: true })
  }
  return made as T
}
