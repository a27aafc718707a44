// A browser as far as our pages need one: it keeps a cookie, follows redirects within a site, and submits forms.
import { expect } from "chai";

export interface Shown {
  readonly status: number;
  readonly text: string;
  /** Where it came to: the address of the page, or one outside that it was sent to. */
  readonly url: string;
  readonly headers: Headers;
}

const unescape = (text: string): string =>
  text.replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

const attribute = (tag: string, name: string): string | undefined => {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
  return value === undefined ? undefined : unescape(value);
};

/** The forms of a page: where each goes, and what it holds. */
export function formsOf(text: string): { action: string | undefined; fields: Map<string, string>; names: string[] }[] {
  return [...text.matchAll(/<form\b[^>]*>[\s\S]*?<\/form>/g)].map(([form]) => {
    const inputs = [...form.matchAll(/<input\b[^>]*>/g)].map(([input]) => input);
    const fields = inputs.flatMap((input): [string, string][] => {
      const name = attribute(input, "name");
      const value = attribute(input, "value");
      return name === undefined || value === undefined || input.includes('type="checkbox"') ? [] : [[name, value]];
    });
    return { action: attribute(form.slice(0, form.indexOf(">") + 1), "action"), fields: new Map(fields), names: inputs.flatMap((input) => attribute(input, "name") ?? []) };
  });
}

export class Browser {
  readonly cookies = new Map<string, string>();
  readonly #sites: readonly string[];
  readonly #headers: Record<string, string>;

  /** `sites` are the origins that it follows redirects to; elsewhere it stops and says where it was sent. */
  constructor(sites: readonly string[], headers: Record<string, string> = {}) {
    this.#sites = sites;
    this.#headers = headers;
  }

  async go(url: string, body?: Readonly<Record<string, string>>): Promise<Shown> {
    let at = url;
    let form = body;
    for (let hops = 0; hops < 12; hops += 1) {
      const origin = new URL(at).origin;
      const key = (name: string): string => `${origin} ${name}`;
      const jar = [...this.cookies].filter(([name]) => name.startsWith(`${origin} `)).map(([name, value]) => `${name.slice(origin.length + 1)}=${value}`);
      const response = await fetch(at, {
        method: form === undefined ? "GET" : "POST",
        redirect: "manual",
        headers: { ...this.#headers, ...(jar.length > 0 && { cookie: jar.join("; ") }) },
        ...(form !== undefined && { body: new URLSearchParams(form) }),
      });
      for (const cookie of response.headers.getSetCookie()) {
        const [name = "", ...value] = (cookie.split(";")[0] ?? "").split("=");
        this.cookies.set(key(name), value.join("="));
      }
      const text = await response.text();
      const location = response.headers.get("location");
      if (location === null || response.status < 300 || response.status > 399) return { status: response.status, text, url: at, headers: response.headers };
      at = new URL(location, at).href;
      form = undefined;
      if (!this.#sites.includes(new URL(at).origin)) return { status: response.status, text: "", url: at, headers: response.headers };
    }
    throw new Error(`${url} leads nowhere`);
  }

  /** Submits the form of a page that has all these fields, or is to have them: what is hidden in it goes along. */
  async submit(page: Shown, fields: Readonly<Record<string, string>>, which: string | undefined = Object.keys(fields)[0]): Promise<Shown> {
    const form = formsOf(page.text).find(({ names, fields: held }) => which === undefined || names.includes(which) || [...held.values()].includes(which)) ?? formsOf(page.text)[0];
    expect(form, page.text).to.not.equal(undefined);
    const action = new URL(form?.action ?? "", page.url).href;
    return await this.go(action, { ...Object.fromEntries(form?.fields ?? []), ...fields });
  }
}
