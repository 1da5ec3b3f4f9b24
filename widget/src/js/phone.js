/* Telephone numbers as the CRM and people write them. */
define([], function () {
  'use strict';

  const digits = (raw) => String(raw ?? '').replace(/\D/g, '');

  const between = /[,;/\n\p{L}#*]/u; /* one number and the next, or its extension */

  const service = /^[^\d+]*[*#]\s*\d/; /* *55 is not 55, and not anybody's number */

  /* What can be dialled in the text of a card's field or a list's cell: the first number of several, without
     the words around it and the extension after it. '' when there is none. */
  const clean = (raw) => {
    const text = String(raw ?? '');
    if (service.test(text)) return '';
    const first = text.replace(/^[^\d+]+/, '').split(between)[0];
    const number = digits(first);
    return number.length < 2 ? '' : (first.startsWith('+') ? '+' : '') + number;
  };

  /* A code of the PBX's own, such as *97; '' for everything else. */
  const code = (raw) => {
    const plain = String(raw ?? '').replace(/[\s-]/g, '');
    return /^[*#][\d*#]*\d[\d*#]*$/.test(plain) ? plain : '';
  };

  const international = (raw) => /^\s*(\+|00)/.test(String(raw ?? ''));

  /* All digits, however it was written: 00… is +…, 8… is +7…, and so is +8 9…, which is no country. */
  const whole = (raw) => digits(raw).replace(/^00/, '').replace(international(raw) ? /^8(?=9\d{9}$)/ : /^8(?=\d{10}$)/, '7');

  /* +7… and 8… are the same telephone: numbers are compared by their last ten digits. Zeros in front, and 8 0 in some
     countries, are how somebody dials it from where he sits. */
  const tail = (raw) => digits(raw).replace(/^0+/, '').replace(/^80(?=\d{9}$)/, '').slice(-10);

  const leastCommon = 8; /* digits that are enough where one is written without the country's code */

  /* What finds a number however it was written into the CRM, with its country's code or without: a search looks for
     these digits in its own. */
  const query = (raw) => tail(raw).slice(-leastCommon);

  /* What tells a number from all others. */
  const key = whole;

  const exact = (a, b) => whole(a) !== '' && whole(a) === whole(b);

  /* +44 (0) 20 … is +44 20 …: people write the digit that is dialled at home, too. */
  const besides = (long, short) => [1, 2, 3].some((i) => /[08]/.test(long[i]) && long.slice(0, i) + long.slice(i + 1) === short);

  const same = (a, b) => {
    if (exact(a, b)) return true;
    if (international(a) && international(b)) return besides(whole(a), whole(b)) || besides(whole(b), whole(a));
    const [short, long] = [tail(a), tail(b)].sort((x, y) => x.length - y.length);
    return short.length > 0 && (short === long || (short.length >= leastCommon && long.endsWith(short)));
  };

  const parts = (field) => String(field ?? '').split(between);

  /* Whether one of the numbers in a field that somebody filled in is that one. */
  const among = (field, number) => parts(field).some((part) => same(part, number));

  /* The same, and written with all its digits. */
  const exactly = (field, number) => parts(field).some((part) => exact(part, number));

  /* Shorter than this is an extension or a short code; the CRM's search would match anything. */
  const searchable = (raw) => !/[*#]/.test(String(raw ?? '')) && tail(raw).length >= 6;

  /* To be read; as it is where there is no form for it here. Without the country's code nobody knows the country: 8 and
     ten digits more may be of Hong Kong or of Brazil. */
  const pretty = (raw) => {
    const m = /^(?:\+|00)7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(String(raw ?? '').replace(/[^\d+]/g, ''));
    return m ? `+7 ${m[1]} ${m[2]}-${m[3]}-${m[4]}` : String(raw ?? '');
  };

  /* The other side's number in a call, '' if it is withheld. */
  const of = (call) => call.phone || call.phone_raw;

  /* The same to be read: as all of the widget writes such numbers, else as the gateway does for this country. */
  const shown = (call) => {
    const own = pretty(of(call));
    return own === of(call) ? call.phone_display || own : own;
  };

  return { clean, code, key, query, same, among, exactly, searchable, pretty, of, shown };
});
