/* The drawings on the buttons: lines in the colour of the text. */
define([], function () {
  'use strict';

  const handset = 'M5 4h4l1.500 4.500L8 10.500a12 12 0 0 0 5.500 5.500l2-2.500L20 15v4a1.500 1.500 0 0 1-1.500 1.500C10.500 20 4 13.500 3.500 5.500A1.500 1.500 0 0 1 5 4z';
  const bell = 'M6 16v-5a6 6 0 0 1 12 0v5l1.500 2h-15zM10 21h4';
  const microphone = 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3';
  const slash = 'M4 4l16 16';

  const drawn = (lines, turn) =>
    '<svg class="ringcast-icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="' + lines + '"' +
    (turn ? ' transform="rotate(' + turn + ' 12 12)"' : '') + '/></svg>';

  return {
    answer: drawn(handset),
    hangup: drawn(handset, 135),
    hold: drawn('M9 6v12M15 6v12'),
    unhold: drawn('M8 5l11 7-11 7z'),
    mute: drawn(microphone),
    unmute: drawn(microphone + slash),
    transfer: drawn('M4 18v-3a5 5 0 0 1 5-5h10M15 6l4 4-4 4'),
    park: drawn('M5 4h14v16H5zM10 16V8h3a2.500 2.500 0 0 1 0 5h-3'),
    bell: drawn(bell),
    silent: drawn(bell + slash),
    fold: drawn('M6 9l6 6 6-6'),
    person: drawn('M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.500 20.500c0-4 3.400-6 7.500-6s7.500 2 7.500 6'),
  };
});
