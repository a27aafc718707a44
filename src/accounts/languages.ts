// The languages in which users are written to.
import type { Config } from "../config.js";

export type Language = Config["third_party_ids"]["language"];

const LANGUAGES: readonly Language[] = ["en", "es", "pt"];

/** The best of our languages for a client's Accept-Language header (RFC 9110); `otherwise` if it names none of them. */
export function chooseLanguage(accepted: string, otherwise: Language): Language {
  const wanted = accepted
    .slice(0, 500)
    .split(",")
    .map((part) => {
      const [tag = "", ...parameters] = part.trim().split(";");
      const quality = parameters.map((parameter) => /^\s*q=([\d.]+)\s*$/.exec(parameter)?.[1]).find((value) => value !== undefined);
      return { tag: tag.toLowerCase(), quality: quality === undefined ? 1 : Number(quality) };
    })
    .filter(({ quality }) => quality > 0)
    .toSorted((a, b) => b.quality - a.quality);
  for (const { tag } of wanted) {
    const language = LANGUAGES.find((each) => tag === each || tag.startsWith(`${each}-`));
    if (language !== undefined) return language;
  }
  return otherwise;
}
