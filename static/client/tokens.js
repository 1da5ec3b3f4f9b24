// The session token, and what it says.

/** The session token: to be renewed when `due`, at about 80 % of its life, and not to be used once it `expires` (ms).
 * `whose` names account and user, '' while nobody says who they are. on.renewed() tells of a new one, on.another() of one
 * that is another user's, and returns what those who waited for it fail with; on.fatal(failure) tells that there will be
 * none. Clearing the timers stops it. */
function makeTokens(env, timers, owner, on) {
  const tokens = { value: undefined, whose: '', due: 0, expires: 0, renew };
  let last = ''; // whose the last token was that said it
  let question; // its timer's key
  let renewal;

  /** Resolves when there is a new token; asks for one at a time. */
  function renew() {
    if (!timers.has(question)) renewal = ask();
    return renewal;
  }

  async function ask() {
    const key = {};
    question = key;
    tokens.due = env.now() + (5 + 10 * env.random()) * SECOND; // if this fails
    try {
      const answer = await new Promise((resolve, reject) => {
        const heard = (fn) => (value) => timers.clear(key) && fn(value);
        timers.set(key, 30 * SECOND, () => reject(new Error('The token function gave no answer within 30 s.')));
        Promise.resolve({ renew: tokens.value !== undefined }).then(owner).then(heard(resolve), heard(reject));
      });
      const { token, expires_at, account, user } = typeof answer === 'string' ? { token: answer } : answer;
      if (!token) throw new Error('The token function returned no token.');
      const claims = claimsOf(token);
      const life = lifeOf(claims, expires_at, env.now());
      tokens.value = token;
      tokens.whose = whoseIs(claims, account, user);
      tokens.due = env.now() + life * (0.7 + 0.2 * env.random());
      tokens.expires = env.now() + life;
      const before = last;
      last = tokens.whose || last;
      if (before && before !== last) throw on.another();
      on.renewed();
    } catch (err) {
      const why = new Failure((err.fatal && err.code) || 'token', err.message, { stay: err.fatal });
      if (err.fatal) on.fatal(why);
      throw why;
    }
  }

  return tokens;
}

/** The claims of a JWT; nothing of another token. */
function claimsOf(token) {
  const bytes = (text) => Uint8Array.from(root.atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  return parse(tryTo(() => new TextDecoder().decode(bytes(token.split('.')[1])))) || {};
}

/** How long (ms) a token lives from now; Infinity when nobody says. A JWT's own times are the better source: the
 * difference of two of them is right even where this computer's clock is wrong. */
function lifeOf({ iat, exp }, expiresAt, now) {
  const life = exp > iat ? (exp - iat) * SECOND : new Date(exp ? exp * SECOND : expiresAt) - now;
  return life > 0 ? life : Infinity; // none, or a clock that is wrong: the gateway will say when
}

/** Account and user as a string, from what came with the token or from the token itself: a session token of the gateway
 * names the account beside its issuer, in one by the account's own server the issuer is the account. */
function whoseIs({ iss, account: named, sub }, account = named || iss, user = { id: sub }) {
  return account && user && user.id ? JSON.stringify([account, String(user.id)]) : '';
}
