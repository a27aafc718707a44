// A slapd of a test's own, with a few people in it.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Attribute, Change, Client } from "ldapts";
import { LOCAL_CERTIFICATE, LOCAL_KEY } from "./certificate.js";
import { eventually } from "./eventually.js";
import { freePort } from "./free-port.js";

const SLAPD = "/usr/sbin/slapd";
const SLAPADD = "/usr/sbin/slapadd";

/** Whether this machine has one. */
export const hasLdapServer = (): boolean => existsSync(SLAPD) && existsSync("/etc/ldap/schema/inetorgperson.schema");

export interface Person {
  readonly uid: string;
  readonly cn: string;
  readonly mail?: string;
  readonly password: string;
}

export const BASE = "ou=people,dc=example,dc=org";
export const READER = { bind_dn: "cn=reader,dc=example,dc=org", bind_password: "the reader's" };

/** base64, since LDIF takes nothing else beyond ASCII. */
const attribute = (name: string, value: string): string => `${name}:: ${Buffer.from(value).toString("base64")}`;

const entryOf = ({ uid, cn, mail, password }: Person): string =>
  [attribute("dn", `uid=${uid},${BASE}`), "objectClass: inetOrgPerson", attribute("uid", uid), attribute("cn", cn), "sn: Person", ...(mail === undefined ? [] : [attribute("mail", mail)]), attribute("userPassword", password), ""].join("\n");

export class LdapServer implements AsyncDisposable {
  readonly url: string;
  readonly tlsUrl: string;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(ports: readonly [number, number], child: ChildProcess, folder: string) {
    this.url = `ldap://localhost:${ports[0]}`;
    this.tlsUrl = `ldaps://localhost:${ports[1]}`;
    this.#child = child;
    this.#folder = folder;
  }

  static async start(people: readonly Person[]): Promise<LdapServer> {
    const folder = await mkdtemp(join(tmpdir(), "hansa-ldap-"));
    await mkdir(join(folder, "data"));
    await writeFile(join(folder, "certificate"), LOCAL_CERTIFICATE);
    await writeFile(join(folder, "key"), LOCAL_KEY);
    const settings = [
      ...["core", "cosine", "inetorgperson"].map((name) => `include /etc/ldap/schema/${name}.schema`),
      "modulepath /usr/lib/ldap",
      "moduleload back_mdb",
      `TLSCertificateFile ${join(folder, "certificate")}`,
      `TLSCertificateKeyFile ${join(folder, "key")}`,
      "disallow bind_anon",
      "database mdb",
      'suffix "dc=example,dc=org"',
      `rootdn "${READER.bind_dn}"`,
      `rootpw "${READER.bind_password}"`,
      `directory ${join(folder, "data")}`,
      "access to attrs=userPassword by anonymous auth",
      "access to * by self read",
      "",
    ];
    await writeFile(join(folder, "slapd.conf"), settings.join("\n"));
    const top = ["dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: Example\ndc: example\n", `dn: ${BASE}\nobjectClass: organizationalUnit\nou: people\n`];
    await writeFile(join(folder, "people.ldif"), [...top, ...people.map(entryOf)].join("\n"));
    await promisify(execFile)(SLAPADD, ["-f", join(folder, "slapd.conf"), "-l", join(folder, "people.ldif")]);
    const ports = [await freePort(), await freePort()] as const;
    const child = spawn(SLAPD, ["-f", join(folder, "slapd.conf"), "-h", `ldap://127.0.0.1:${ports[0]} ldaps://127.0.0.1:${ports[1]}`, "-d", "0"], { stdio: "ignore" });
    const server = new LdapServer(ports, child, folder);
    await eventually("slapd answers", () => reached(ports[1]));
    return server;
  }

  /** Takes somebody out of it. */
  async remove(uid: string): Promise<void> {
    await this.#change((client) => client.del(`uid=${uid},${BASE}`));
  }

  /** Gives somebody another value of an attribute. */
  async set(uid: string, name: string, value: string): Promise<void> {
    const change = new Change({ operation: "replace", modification: new Attribute({ type: name, values: [value] }) });
    await this.#change((client) => client.modify(`uid=${uid},${BASE}`, change));
  }

  async #change(work: (client: Client) => Promise<void>): Promise<void> {
    const client = new Client({ url: this.url });
    await client.bind(READER.bind_dn, READER.bind_password);
    await work(client);
    await client.unbind();
  }

  /** Makes it answer nothing any more, with its connections open. */
  hang(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function reached(port: number): Promise<boolean> {
  const socket = createConnection({ host: "127.0.0.1", port });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
