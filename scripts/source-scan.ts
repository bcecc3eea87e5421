/**
 * Reads a TypeScript source just far enough to know what it imports and which identifiers stand in its code:
 * comments, and the contents of strings, templates and regular expressions, are blanked out. It keeps every
 * line where it was.
 */

export interface Import {
  specifier: string
  line: number
}

export interface Source {
  /** The text with everything that is not code replaced by spaces. */
  code: string
  imports: Import[]
}

interface Text {
  /** Offset of the opening quote. */
  start: number
  value: string
}

/** After one of these a slash begins a regular expression; after anything else that ends a value it divides. */
const BEFORE_REGEX =
  /(?:^|[([{},;:=!&|?+\-*/%<>~^]|\b(?:return|typeof|case|in|of|void|delete|throw|new|else|do|await|yield))$/

/** @param text a TypeScript module */
export function scan(text: string): Source {
  const texts: Text[] = []
  let code = ''
  let at = 0
  /** Depth of braces inside each template that is open. */
  const templates: number[] = []

  const blank = (until: number): void => {
    code += text.slice(at, until).replace(/[^\n]/g, ' ')
    at = until
  }
  const endOf = (mark: string | RegExp, from: number): number => {
    const rest = text.slice(from)
    const found = typeof mark === 'string' ? rest.indexOf(mark) : rest.search(mark)
    return found < 0 ? text.length : from + found
  }
  /** From just behind a backquote or a closing brace to just behind the next `${` or the closing backquote. */
  const template = (): void => {
    let end = at
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end))
      end += text[end] === '\\' ? 2 : 1
    blank(Math.min(end, text.length))
    if (text.startsWith('${', at)) {
      templates.push(0)
      code += '${'
      at += 2
    } else {
      code += '`'
      at += 1
    }
  }

  while (at < text.length) {
    const char = text[at]!
    if (text.startsWith('//', at)) {
      blank(endOf('\n', at))
    } else if (text.startsWith('/*', at)) {
      blank(Math.min(endOf('*/', at + 2) + 2, text.length))
    } else if (char === "'" || char === '"') {
      const start = at
      let end = at + 1
      while (end < text.length && text[end] !== char && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1
      texts.push({ start, value: text.slice(start + 1, end) })
      code += char
      at++
      blank(Math.min(end, text.length))
      if (text[at] === char) {
        code += char
        at++
      }
    } else if (char === '`') {
      code += char
      at++
      template()
    } else if (char === '}' && templates.at(-1) === 0) {
      templates.pop()
      code += char
      at++
      template()
    } else if (char === '/' && BEFORE_REGEX.test(code.trimEnd())) {
      let end = at + 1
      let inClass = false
      while (end < text.length && text[end] !== '\n' && (inClass || text[end] !== '/')) {
        if (text[end] === '[') inClass = true
        else if (text[end] === ']') inClass = false
        end += text[end] === '\\' ? 2 : 1
      }
      // what stands for it must still end a value
      code += '0'
      at++
      blank(Math.min(end + 1, text.length))
    } else {
      if (templates.length > 0 && (char === '{' || char === '}')) {
        templates[templates.length - 1]! += char === '{' ? 1 : -1
      }
      code += char
      at++
    }
  }

  const imports: Import[] = []
  for (const { start, value } of texts) {
    if (/\b(?:from|import|import\s*\()\s*$/.test(code.slice(Math.max(0, start - 40), start))) {
      imports.push({ specifier: value, line: lineAt(text, start) })
    }
  }
  return { code, imports }
}

/** Line number, from 1, of an offset. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
