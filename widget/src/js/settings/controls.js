/* The settings window: how the widget behaves. The controls write the hidden field "behaviour". */
define(['jquery', './behaviour.js?v=%VERSION%'], function ($, behaviour) {
  'use strict';

  const { choices, switches, interval } = behaviour;

  const row = (caption) => $('<label class="ringcast-settings__row">').append($('<span class="ringcast-settings__caption">').text(caption));

  return {
    /* values: as behaviour() reads them; changed(values) when the user has changed one. Returns the element. */
    make({ t, values, changed }) {
      const now = { ...values };
      const put = (name, value) => {
        now[name] = value;
        changed(now);
      };

      const select = (name) => {
        const $select = $('<select class="ringcast-settings__select">').attr('data-setting', name);
        choices[name].forEach((value) => $('<option>').val(value).text(t('settings.' + name + '_' + value)).appendTo($select));
        $select.val(now[name]).on('change', () => put(name, $select.val()));
        return row(t('settings.' + name)).append($select);
      };

      const box = (name) => {
        const $box = $('<input type="checkbox">').attr('data-setting', name).prop('checked', now[name]);
        $box.on('change', () => put(name, $box.prop('checked')));
        return $('<label class="ringcast-settings__switch">').append($box, $('<span>').text(t('settings.' + name)));
      };

      const seconds = () => {
        const $input = $('<input type="number" class="ringcast-settings__number">').attr({ 'data-setting': 'interval', min: interval.least, max: interval.most }).val(now.interval);
        $input.on('change', () => {
          const { interval: kept } = behaviour({ behaviour: { interval: $input.val() } });
          $input.val(kept);
          put('interval', kept);
        });
        return row(t('settings.interval')).append($input);
      };

      return $('<section class="ringcast-settings__part">').append(
        $('<h3 class="ringcast-settings__title">').text(t('settings.behaviour')),
        ...Object.keys(choices).map(select),
        ...Object.keys(switches).map(box),
        seconds(),
      );
    },
  };
});
