// How text is folded for searching, and how search terms are read.
import { expect } from "chai";
import { foldedWords, parseSearchTerm, wordsOf } from "../../src/protocol/search-text.js";

describe("search text", () => {
  it("folds accents, letter case and forms of the same letter, and parts words", () => {
    expect(foldedWords("  São-Paulo, É_isto! ﬁn Ｆｕｌｌ")).to.equal("sao paulo e isto fin full");
    expect(foldedWords("don't 1.2.3")).to.equal("don t 1 2 3");
    expect(foldedWords("한국어 हिन्दी")).to.equal("한국어 हिन्दी");
    expect(foldedWords("東京へ go")).to.equal("東 京 へ go");
    expect(foldedWords("\u0000\ud800 …")).to.equal("");
  });

  it("reads words and phrases; an open quotation mark means nothing", () => {
    expect(parseSearchTerm('Red "Green  Apple" blue')).to.deep.equal({ words: "red blue", phrases: ["green apple"] });
    expect(parseSearchTerm("“uno dos” tres")).to.deep.equal({ words: "tres", phrases: ["uno dos"] });
    expect(parseSearchTerm('say "hello')).to.deep.equal({ words: "say hello", phrases: [] });
    expect(parseSearchTerm('"one" "" "two')).to.deep.equal({ words: "two", phrases: ["one"] });
    expect(parseSearchTerm(' "" !')).to.equal(undefined);
  });

  it("gives the words of texts as they are written, by their folded form", () => {
    expect([...wordsOf(["España y", "ESPANA"])]).to.deep.equal([["espana", "espana"], ["y", "y"]]);
    expect([...wordsOf(["España"])]).to.deep.equal([["espana", "españa"]]);
  });
});
