// The part of samlify that tests use: its own types bring those of browsers along, which are not those of Node.
export interface Parsed {
  readonly extract: { readonly nameID?: string; readonly request?: Readonly<Record<string, string | string[]>> };
}
export interface Message {
  readonly query: Readonly<Record<string, string>>;
  readonly octetString: string;
}
interface Replacement {
  readonly id: string;
  readonly context: string;
}
export interface Service {
  readonly entityMeta: { getEntityID(): string; getAssertionConsumerService(binding: string): string | string[] };
}
export interface Provider {
  parseLoginRequest(service: Service, binding: string, message: Message): Promise<Parsed>;
  parseLogoutRequest(service: Service, binding: string, message: Message): Promise<Parsed>;
  parseLogoutResponse(service: Service, binding: string, message: Message): Promise<Parsed>;
  createLoginResponse(service: Service, request: Parsed, binding: string, user: object, replace: () => Replacement): Promise<Replacement>;
  createLogoutRequest(service: Service, binding: string, user: object, options: { relayState?: string; customTagReplacement: () => Replacement }): Replacement;
}
export function setSchemaValidator(validator: { validate(xml: string): Promise<string> }): void;
export function IdentityProvider(settings: object): Provider;
export function ServiceProvider(settings: { metadata: string; wantLogoutRequestSigned?: boolean }): Service;
