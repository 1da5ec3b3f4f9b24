/* Telephone numbers as the CRM and people write them. */
define([], function () {
  'use strict';

  const digits = (raw) => String(raw ?? '').replace(/\D/g, '');

  /* What can be dialled in the text of a card's field or a list's cell: the first number of several, without
     the words around it and the extension after it. '' when there is none. */
  const clean = (raw) => {
    const first = String(raw ?? '').replace(/^[^\d+]+/, '').split(/[,;/\n\p{L}]/u)[0];
    const number = digits(first);
    return number.length < 2 ? '' : (first.startsWith('+') ? '+' : '') + number;
  };

  /* +7… and 8… are the same telephone: numbers are searched and compared by their last ten digits. */
  const tail = (raw) => digits(raw).slice(-10);

  const same = (a, b) => tail(a).length > 0 && tail(a) === tail(b);

  /* Shorter than this is an extension or a short code; the CRM's search would match anything. */
  const searchable = (raw) => digits(raw).length >= 6;

  const pretty = (raw) => {
    const m = /^\+7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(String(raw ?? ''));
    return m ? `+7 ${m[1]} ${m[2]}-${m[3]}-${m[4]}` : String(raw ?? '');
  };

  return { clean, tail, same, searchable, pretty };
});
