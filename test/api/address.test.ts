import { expect } from "chai";
import { networkOf } from "../../src/api/address.js";

describe("networkOf", () => {
  it("takes the addresses of an IPv6 /64 as one, and no others", () => {
    for (const address of ["2001:db8:0:1::1", "2001:DB8::1:a:b:c:d", "2001:0db8:0:0001:ffff::", "2001:db8:0:1:0:0:0:9"]) {
      expect(networkOf(address), address).to.equal("2001:db8:0:1::/64");
    }
    expect(networkOf("2001:db8:0:2::1")).to.equal("2001:db8:0:2::/64");
    expect(networkOf("::1")).to.equal("0:0:0:0::/64");
  });

  it("leaves an IPv4 address as it is", () => {
    expect(networkOf("192.0.2.7")).to.equal("192.0.2.7");
  });
});
