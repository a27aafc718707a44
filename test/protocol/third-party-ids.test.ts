import { expect } from "chai";
import { canonicalAddress, canonicalEmail, canonicalPhoneNumber } from "../../src/protocol/third-party-ids.js";

describe("third-party identifiers", () => {
  const emails: [text: string, canonical: string | undefined][] = [
    ["Alice@Example.ORG", "alice@example.org"],
    [" alice+tag@sub.example.org ", "alice+tag@sub.example.org"],
    ["josé@exämple.org", "josé@exämple.org"],
    ["alice@localhost", "alice@localhost"],
    ["alice", undefined],
    ["@example.org", undefined],
    ["alice@", undefined],
    ["alice@example..org", undefined],
    ["alice@-example.org", undefined],
    ["alice@example.org,bob@example.org", undefined],
    ["Alice <alice@example.org>", undefined],
    ["alice@example.org\r\nBcc: bob@example.org", undefined],
    ["alice\u0000@example.org", undefined],
    ["alice\ud800@example.org", undefined],
    [`${"a".repeat(65)}@example.org`, undefined],
    [`a@${"b".repeat(60)}.${"c".repeat(200)}.org`, undefined],
  ];
  for (const [text, canonical] of emails) {
    it(`${JSON.stringify(text.slice(0, 40))} is ${canonical ?? "no e-mail address"}`, () => expect(canonicalEmail(text)).to.equal(canonical));
  }

  const numbers: [text: string, country: string | undefined, canonical: string | undefined][] = [
    ["07700 900123", "GB", "447700900123"],
    ["+44 7700 900123", "ES", "447700900123"],
    ["0044 7700 900123", "es", "447700900123"],
    ["(030) 901820", "DE", "4930901820"],
    ["06 698 12345", "IT", "390669812345"],
    ["600 123 456", "ES", "34600123456"],
    ["1 (202) 555-0123", "US", "12025550123"],
    ["202-555-0123", "US", "12025550123"],
    ["8 495 123-45-67", "RU", "74951234567"],
    ["447700900123", undefined, "447700900123"],
    ["07700 900123", undefined, undefined],
    ["600123456", "ZZ", undefined],
    ["12", "ES", undefined],
    ["call me", "ES", undefined],
    ["6".repeat(30), "ES", undefined],
  ];
  for (const [text, country, canonical] of numbers) {
    it(`${text} dialled in ${country ?? "no country"} is ${canonical ?? "no number"}`, () =>
      expect(canonicalPhoneNumber(text, country)).to.equal(canonical));
  }

  it("are of a medium that is known", () => {
    expect(canonicalAddress("email", "A@b.org")).to.deep.equal({ medium: "email", address: "a@b.org" });
    expect(canonicalAddress("msisdn", "+34600123456")).to.deep.equal({ medium: "msisdn", address: "34600123456" });
    expect(canonicalAddress("pigeon", "A@b.org")).to.equal(undefined);
  });
});
