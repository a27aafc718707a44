// Long lists at the top of an answer, taken apart while its bytes come: nobody has to wait for the parsing of the whole.

/** An element of a list as it came; what is longer than any sensible one comes empty. */
export interface ListElement {
  readonly list: string;
  readonly bytes: Uint8Array;
}

const MAX_ELEMENT_BYTES = 1024 * 1024;
const MAX_KEY = 100;
const [QUOTE, COMMA, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x2c, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d];

/**
 * Splits the lists of some names in a JSON object, or in one that is in a list (`[200, {...}]`). Says nothing about validity: an
 * element is whatever is between two commas.
 */
export class ListSplitter {
  readonly #names: ReadonlySet<string>;
  readonly #rest: Uint8Array[] = [];
  #restBytes = 0;
  #depth = 0;
  /** The depth inside of the object whose lists are wanted; 0 outside of it. */
  #level = 0;
  #inString = false;
  #escaped = false;
  /** The string that was read last at that depth: before a list its name. */
  #key = "";
  /** The list that is being split, and what is here of the element that is being read. */
  #list: string | undefined;
  #element: Uint8Array[] = [];
  #elementBytes = 0;

  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  /** How much came beside the elements of the lists. */
  get restBytes(): number {
    return this.#restBytes;
  }

  /** The elements that are whole with some more bytes. */
  push(chunk: Uint8Array): ListElement[] {
    const found: ListElement[] = [];
    let start = 0;
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index] ?? 0;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inString = false;
        if (this.#inString && this.#list === undefined && this.#depth === this.#level && this.#key.length < MAX_KEY) this.#key += String.fromCharCode(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          if (this.#list === undefined && this.#depth === this.#level) this.#key = "";
          break;
        case OPEN_OBJECT:
          this.#depth += 1;
          if (this.#level === 0 && this.#depth <= 2) this.#level = this.#depth;
          break;
        case CLOSE_OBJECT:
          this.#depth -= 1;
          if (this.#depth < this.#level) this.#level = 0;
          break;
        case OPEN_LIST:
          this.#depth += 1;
          if (this.#list === undefined && this.#level > 0 && this.#depth === this.#level + 1 && this.#names.has(this.#key)) {
            this.#keep(chunk.subarray(start, index + 1));
            start = index + 1;
            this.#list = this.#key;
          }
          break;
        case CLOSE_LIST:
          this.#depth -= 1;
          if (this.#list !== undefined && this.#depth === this.#level) {
            this.#take(chunk.subarray(start, index));
            if (this.#element.some((bytes) => !isBlank(bytes))) found.push(this.#end(this.#list));
            this.#element = [];
            this.#elementBytes = 0;
            start = index;
            this.#list = undefined;
          }
          break;
        case COMMA:
          if (this.#list !== undefined && this.#depth === this.#level + 1) {
            this.#take(chunk.subarray(start, index));
            found.push(this.#end(this.#list));
            start = index + 1;
          }
          break;
        default:
      }
    }
    if (this.#list === undefined) this.#keep(chunk.subarray(start));
    else this.#take(chunk.subarray(start));
    return found;
  }

  /** Everything else that came, with empty lists in the places of those that were split. */
  rest(): Uint8Array {
    return Buffer.concat(this.#rest);
  }

  #keep(bytes: Uint8Array): void {
    this.#rest.push(bytes);
    this.#restBytes += bytes.length;
  }

  #take(bytes: Uint8Array): void {
    this.#elementBytes += bytes.length;
    if (this.#elementBytes > MAX_ELEMENT_BYTES) this.#element = [];
    else this.#element.push(bytes);
  }

  #end(list: string): ListElement {
    const [only, ...others] = this.#element;
    const bytes = this.#elementBytes > MAX_ELEMENT_BYTES || only === undefined ? new Uint8Array() : others.length === 0 ? only : Buffer.concat(this.#element);
    this.#element = [];
    this.#elementBytes = 0;
    return { list, bytes };
  }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d);
}
