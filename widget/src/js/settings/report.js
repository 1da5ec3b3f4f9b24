/* What the gateway says of the settings, in words: lines for the panel, and marks for the users. A line or mark is {tone: 'good' |
   'warn' | 'bad' | 'note', text, href: where a person can look for himself}. */
define(['./access.js?v=%VERSION%'], function (access) {
  'use strict';

  const tones = { ok: 'good', unregistered: 'warn', unknown: 'bad', unchecked: 'note' };

  /* extension → the users who are given it, where it is more than one. */
  const shared = (extensions) => {
    const owners = new Map();
    Object.entries(extensions).forEach(([user, text]) => {
      new Set(access.split(text)).forEach((extension) => owners.set(extension, [...(owners.get(extension) || []), user]));
    });
    return new Map([...owners].filter(([, users]) => users.length > 1));
  };

  /* What is wrong with the extensions, whatever the gateway says: user → marks. */
  const doubles = (extensions, { t, name }) => {
    const marks = new Map();
    shared(extensions).forEach((users, extension) => {
      users.forEach((user) => {
        const others = users.filter((other) => other !== user).map(name).join(', ');
        marks.set(user, [...(marks.get(user) || []), { tone: 'bad', text: t('settings.extension_taken', { extension, name: others }) }]);
      });
    });
    return marks;
  };

  const pbxLines = (pbx, t) => {
    if (!pbx.length) return [{ tone: 'warn', text: t('settings.pbx_none') }];
    return pbx.map(({ id, state }) =>
      (state === 'connected' || state === 'elsewhere'
        ? { tone: 'good', text: t('settings.pbx_connected', { id }) }
        : { tone: 'bad', text: t('settings.pbx_away', { id }) }));
  };

  const peopleLines = (extensions, me, t) => {
    const given = Object.values(extensions).filter((text) => access.split(text).length > 0).length;
    if (!given) return [{ tone: 'warn', text: t('settings.nobody') }];
    return me in extensions && !access.split(extensions[me]).length ? [{ tone: 'note', text: t('settings.none_of_mine') }] : [];
  };

  const mark = ({ extension, state }, t) => {
    const known = state in tones ? state : 'unchecked';
    return { tone: tones[known], text: t('settings.extension_' + known, { extension }) };
  };

  /* A user for whom the gateway holds other extensions than those asked about. */
  const differs = ({ held, extensions }) => Boolean(held) && held.join() !== (extensions || []).map(({ extension }) => extension).join();

  /* answer is the gateway's. extensions: what the form and the gateway have; me: the user's id; url, origin: of gateway and page. */
  const accepted = (answer, { t, extensions, me, admin, url, origin, name }) => ({
    refused: false,
    kept: answer.admin ? answer.kept : undefined,
    others: answer.users.filter(differs).map(({ id, held }) => [String(id), { tone: 'warn', text: t('settings.extension_held', { extensions: held.join(', ') || '—' }) }]),
    lines: [
      { tone: 'good', text: t('settings.reached', { host: new URL(url).host, account: answer.account }) },
      { tone: 'good', text: t('settings.allowed', { origin }) },
      ...pbxLines(answer.pbx || [], t),
      ...(admin && !answer.admin ? [{ tone: 'warn', text: t('settings.not_taken_for_admin', { user: me }) }] : []),
      ...peopleLines(extensions, me, t),
    ],
    marks: new Map([
      ...answer.users.map((user) => [String(user.id), (user.extensions || []).map((each) => mark(each, t))]),
      ...doubles(extensions, { t, name }),
    ]),
  });

  /* refusal is a Refusal of gateway.js. */
  const refused = (refusal, { t, extensions, url, origin, name, ask }) => {
    const { kind, values, fields } = refusal;
    const marks = new Map([
      ...fields.map(({ user, reason }) => [user, [{ tone: 'bad', text: t('settings.extension_refused', { reason }) }]]),
      ...doubles(extensions, { t, name }),
    ]);
    const line = { tone: 'bad', text: t('settings.refused_' + kind, { url, origin, ask, ...values }) };
    if (kind === 'silent' || kind === 'origin') line.href = url + '/client.js';
    return { refused: true, lines: [line], marks };
  };

  /* A refusal as one text. */
  const summary = ({ lines, marks }, name) => {
    const users = [...marks].map(([id, own]) => name(id) + ': ' + own.map(({ text }) => text).join(' '));
    return [lines[lines.length - 1].text, ...users].join(' ');
  };

  return { accepted, refused, summary };
});
