// A room version is a plain object of named flags; no code compares version numbers.

export interface RoomVersion {
  readonly id: string;
  readonly stable: boolean;
}
