// Types of the browser client, /client.js of a gateway. The manual is examples/page/README.md.
//
//   import type * as Ringcast from './client';      // with a copy of this file, beside an AMD loader or a bundler
//   /// <reference path="./client.d.ts" />          // with a script tag: the global is Ringcast

export as namespace Ringcast;

/** A session token: a JWT, or what the gateway's `POST /v1/sessions/…` answers. */
export type Token = string | {
  token: string;
  /** RFC 3339. Needed only of a token that is no JWT. */
  expires_at?: string;
  /** Whose it is; of a token that is no JWT only this tells which tabs may share a connection. */
  account?: string;
  user?: { id: string | number };
};

export interface Options {
  /** The gateway's address, such as `https://gateway.example.com`. */
  url: string;

  /**
   * Gets a token from your server. Called for the first one (`renew` false) and in good time for each later one, one
   * call at a time; after 30 s without an answer it counts as failed. After an error it is called again a little later;
   * an error with `fatal: true` ends in the state `refused` with the error's `code`.
   */
  token(ask: { renew: boolean }): Token | Promise<Token>;

  /** Tell of colleagues, too: the event `presence`, and `client.presence`. Default: false. */
  presence?: boolean;

  /** Whether the tabs of one user in one browser share one connection. Default: true. */
  share?: boolean;

  // What is outside of the client, for tests and unusual hosts. `null`: there is none.
  WebSocket?: unknown;
  EventSource?: unknown;
  BroadcastChannel?: unknown;
  fetch?: unknown;
  /** As `navigator.locks`. */
  locks?: unknown;
  /** As `localStorage`. */
  storage?: unknown;
  /** As `window`: `addEventListener`, `removeEventListener`, `document`. */
  page?: unknown;
  setTimeout?(fn: () => void, ms: number): unknown;
  clearTimeout?(id: unknown): void;
  /** Milliseconds since 1970. */
  now?(): number;
  /** At least 0, less than 1. */
  random?(): number;
}

/** A call, as this user sees it. Times are RFC 3339 in UTC. */
export interface Call {
  id: string;
  /** Rises with each change. */
  version: number;
  direction: 'inbound' | 'outbound' | 'internal';
  /** The other side's number as E.164; null when it is withheld or no number of that form. */
  phone: string | null;
  /** The same as the PBX wrote it; empty when withheld. */
  phone_raw: string;
  /** The same as people of the account's region write it: to be shown, not to be dialled. */
  phone_display: string;
  /** The other side's name, where the telephone system knows one. */
  name?: string;
  /** The company's own number or trunk. */
  line: string;
  /** Which of the user's extensions. */
  extension: string;
  /** The user made the call: while it rings, the other side is to answer. */
  outgoing?: true;
  /** This user's part in it. */
  state: 'ringing' | 'talking' | 'held' | 'ended';
  /** Once ended. null: it was found to be over, and how is not known. */
  outcome: Outcome | null;
  answered_by: Colleague | null;
  /** The colleague, in an internal call. */
  peer: Colleague | null;
  started_at: string;
  answered_at: string | null;
  ended_at: string | null;
  talk_seconds: number;
  contact: Contact | null;
  /** An http or https URL; null, too, while the recording is a file at the telephone system. */
  recording: string | null;
}

export type Outcome = 'answered' | 'missed' | 'busy' | 'cancelled' | 'rejected' | 'elsewhere' | 'transferred' | 'failed';

export interface Colleague {
  user: string;
  name: string;
  extension: string;
}

export interface Contact {
  id: string;
  type: string;
  name: string;
  url: string;
}

export interface User {
  id: string;
  name: string;
  /** The first of them dials. */
  extensions: string[];
  email?: string;
  /** The number that those he calls see, where it is his own. */
  caller_id?: string;
}

/** How a user of the account is here, on whatever page and node. */
export interface Presence {
  user: string;
  name: string;
  extensions: string[];
  /** Has a page open. */
  online: boolean;
  /** Looks at one. */
  visible: boolean;
  /** Talks, or has a call on hold. */
  busy: boolean;
  /** Has told the PBX that nobody is at his telephone, where the PBX can be told. */
  away: boolean;
}

/** A change of a call. */
export interface Change {
  event:
    | 'call.dial' | 'call.bridge' | 'call.hold' | 'call.unhold' | 'call.transfer' | 'call.hangup' | 'call.update'
    /** Found, not seen to happen: it was there before this page, or before a reset. */
    | 'snapshot';
  /** All that is known. */
  call: Call;
  /** What was known before. */
  previous: Call | null;
  /** False for what was found and not seen to happen: no window is to pop up for that. */
  live: boolean;
}

/** What became of the connection. */
export interface State {
  name: 'connecting' | 'live' | 'retrying' | 'refused' | 'stopped';
  /** While live: over WebSocket, an event stream, or long-poll. */
  rung: 'ws' | 'sse' | 'poll' | null;
  /** While retrying: when the next try is, ms since 1970; null: right now. */
  retryAt: number | null;
  /** Why, for programs. */
  code: RetryCode | RefusalCode | (string & {}) | null;
  /** Why, for people; may be empty. */
  message: string;
  /** Whether this tab holds the connection for all of the user's tabs; null: it has one for itself alone. */
  leader: boolean | null;
}

export type RetryCode =
  | 'network' | 'no_hello' | 'silent' | 'gap' | 'asleep' | 'leader' | 'user' | 'closed' | 'draining' | 'slow' | 'superseded'
  | 'too_many' | 'token' | 'token_expired' | 'ticket_used' | 'unavailable';

export type RefusalCode = 'bad_token' | 'revoked' | 'origin' | 'bad_protocol' | 'too_many' | 'refused' | 'unsupported';

/** The reply to a command that was carried out. */
export interface Reply {
  type: 'reply';
  id: string;
  ok: true;
  /** Of a dial: the call it made. Of any other: the call it was for. */
  call?: string;
  /** Of a park: who dials this has the call. */
  slot?: string;
}

/** What a command's promise fails with. */
export interface CommandError extends Error {
  code:
    /** The gateway is not connected with the telephone system. */
    | 'pbx_offline'
    /** A telephone is not connected with the telephone system: the user's, or the one a call was to be handed to. */
    | 'not_registered'
    /** A telephone is engaged, likewise. */
    | 'busy'
    /** The call is not in a state for it, or the telephone system or the telephone would not. */
    | 'rejected'
    /** The user may not, or the telephone system cannot. */
    | 'not_permitted'
    /** Not a number that can be called, or that may be. */
    | 'bad_number'
    /** None of the user's calls, or over. */
    | 'not_found'
    /** Of a claim: somebody else has it. */
    | 'taken'
    | 'too_many' | 'invalid' | 'unavailable' | 'internal'
    /** No answer in time: what became of it is not known. */
    | 'timeout'
    /** The client is not started, or was refused. */
    | 'stopped' | 'refused'
    /** The token is another user's now. */
    | 'user'
    | (string & {});
}

export interface Events {
  /** Each change of each call, exactly once and in order, in every tab. */
  call: Change;
  state: State;
  /** The user as the gateway knows him, with each new connection. */
  user: User;
  /** Those colleagues whose presence changed; all of them with each new connection. */
  presence: Presence[];
}

export class Client {
  constructor(options: Options);

  /** What is known now. Do not change it. */
  readonly state: State;
  /** null before the first connection. */
  readonly user: User | null;
  /** By id. A call that has ended stays for 60 s. */
  readonly calls: ReadonlyMap<string, Call>;
  /** By user id; empty without the option `presence`. */
  readonly presence: ReadonlyMap<string, Presence>;

  /** Connects, and stays connected. Does nothing unless stopped or refused. */
  start(): void;

  /** Leaves nothing behind: no socket, no timer, no listener. `start()` resumes where it stopped. */
  stop(): void;

  /** Listens; returns a function that takes the listener off. */
  on<Name extends keyof Events>(event: Name, fn: (value: Events[Name]) => void): () => void;

  /**
   * Dials: the user's telephone rings, and when it is picked up the number is called. From the user's first extension,
   * or another of his. A second click on the same number is the same call. Fails with a {@link CommandError}, as the
   * commands below.
   */
  call(to: string, options?: { from?: string }): Promise<Reply>;

  /** Answers a call that rings at the user, at a telephone that lets it be done from outside. */
  answer(callId: string): Promise<Reply>;

  /** Hangs up, or declines, one of the user's calls. */
  hangup(callId: string): Promise<Reply>;

  /** Lets the other side wait, and takes it back. What is so already is no error. */
  hold(callId: string): Promise<Reply>;
  unhold(callId: string): Promise<Reply>;

  /** Keeps the others from hearing the user, and lets them. The call does not say whether it is so. */
  mute(callId: string): Promise<Reply>;
  unmute(callId: string): Promise<Reply>;

  /**
   * Hands the call to an extension or a number. With `attended` the other side waits while the user announces it:
   * `complete` then joins the two, `cancel` goes back; both are given the call that waits.
   */
  transfer(callId: string, to: string, options?: { attended?: boolean }): Promise<Reply>;
  complete(callId: string): Promise<Reply>;
  cancel(callId: string): Promise<Reply>;

  /** Lets the other side wait for anybody who dials the reply's `slot`. */
  park(callId: string): Promise<Reply>;

  /**
   * Takes what is to happen once for a call, in all the user's browsers: `notify` and `notify_end` (a stored notification
   * of the CRM, when it rings and after the talk), `result` (the window after the talk), `alert` (sound, a desktop
   * notification), `open` (the caller's card opens by itself). Fails with `taken` in all tabs but one. What was claimed
   * by a tab that is gone is free again, unless it was confirmed with `done`.
   */
  claim(callId: string, what: 'notify' | 'notify_end' | 'result' | 'alert' | 'open', options?: { done?: boolean }): Promise<Reply>;

  /** Any command that this gateway knows, by its action and fields; those above need not be given so. */
  command(action: string, fields?: Record<string, unknown>): Promise<Reply>;

  /**
   * Runs `fn` in one of this browser's tabs: to be called in each of them, with the same key. It is the one that somebody
   * looks at, if there is one. Promises whether it was this tab, as soon as that is settled: in the others when `fn` is
   * done. If `fn` fails, or its tab is closed meanwhile, another tab runs its own.
   */
  once(key: string, fn: () => unknown): Promise<boolean>;

  /**
   * The page shows the call's card. The gateway is told, once a connection, when somebody can see it: it measures how long that took,
   * and counts the calls that nobody was shown.
   */
  shown(callId: string): void;
}
