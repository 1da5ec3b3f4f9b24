/* Telephone numbers as the CRM and people write them. */
define([], function () {
  'use strict';

  const digits = (raw) => String(raw ?? '').replace(/\D/g, '');

  const between = /[,;/\n\p{L}#]/u; /* one number and the next, or its extension */

  /* What can be dialled in the text of a card's field or a list's cell: the first number of several, without
     the words around it and the extension after it. '' when there is none. */
  const clean = (raw) => {
    const first = String(raw ?? '').replace(/^[^\d+]+/, '').split(between)[0];
    const number = digits(first);
    return number.length < 2 ? '' : (first.startsWith('+') ? '+' : '') + number;
  };

  /* +7… and 8… are the same telephone: numbers are compared by their last ten digits. Zeros in front are how somebody
     dials it from where he sits. */
  const tail = (raw) => digits(raw).replace(/^0+/, '').slice(-10);

  /* What finds a number however it was written into the CRM: a search looks for these digits in its own. */
  const query = (raw) => tail(raw).replace(/^0+/, '');

  const leastCommon = 8; /* digits that are enough where one is written without the country's code */

  const same = (a, b) => {
    const [short, long] = [tail(a), tail(b)].sort((x, y) => x.length - y.length);
    return short.length > 0 && (short === long || (short.length >= leastCommon && long.endsWith(short)));
  };

  /* Whether one of the numbers in a field that somebody filled in is that one. */
  const among = (field, number) => String(field ?? '').split(between).some((part) => same(part, number));

  /* Shorter than this is an extension or a short code; the CRM's search would match anything. */
  const searchable = (raw) => !/[*#]/.test(String(raw ?? '')) && tail(raw).length >= 6;

  const pretty = (raw) => {
    const m = /^\+7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(String(raw ?? ''));
    return m ? `+7 ${m[1]} ${m[2]}-${m[3]}-${m[4]}` : String(raw ?? '');
  };

  /* A call's number to be read: as the gateway writes it for this country. */
  const shown = (call) => call.phone_display || pretty(call.phone || call.phone_raw);

  return { clean, tail, query, same, among, searchable, pretty, shown };
});
