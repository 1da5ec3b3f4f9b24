/* Lists of contacts, companies and leads: rows to tick, numbers to click, and the menu of what widgets do with the
   rows that are ticked. */
define(['jquery', 'app/app', 'app/session', 'app/parts', 'app/list', 'app/actions', 'app/frame'], function ($, APP, session, parts, List, actions, frame) {
  'use strict';

  const { t } = session;

  const columns = {
    contacts: [[t.phone, 'phones'], [t.company, 'company'], [t.responsible, 'responsible']],
    companies: [[t.phone, 'phones'], [t.contacts, 'contacts'], [t.responsible, 'responsible']],
    leads: [[t.contact, 'contacts'], [t.stage, 'status'], [t.sum, 'price'], [t.responsible, 'responsible']],
  };

  const cell = {
    phones: (row, model) => row.phones.map((value) => parts.phoneLink(value, model, false)),
    company: (row) => (row.company ? parts.link(row.company) : ''),
    contacts: (row) => (row.contacts || []).slice(0, 1).map(parts.link),
    status: (row) => $('<span class="stage">').attr('data-status', row.status).text(parts.status(row.status)),
    price: (row) => document.createTextNode(parts.money(row.price)),
    responsible: (row) => document.createTextNode(session.userName(row.responsible)),
  };

  /* The bar over the list, while something is ticked. */
  const drawBar = ($bar, list, kind) => {
    const count = list.ticked.size;
    $bar.prop('hidden', !count).find('.bar__count').text(t.selected + ' ' + count);
    $bar.find('.more').removeClass('more_open');
    const $items = $bar.find('.more__list').empty();
    actions.forLists(kind === 'leads' ? 'leads' : 'contacts').forEach(({ code, name, run }) => {
      $('<button type="button" class="more__item">').attr('data-widget', code).text(name).appendTo($items).on('click', () => {
        $bar.find('.more').removeClass('more_open');
        run();
      });
    });
  };

  const draw = ($page, rows, kind) => {
    const list = new List(rows);
    APP.data.current_list = list;
    if (kind === 'contacts') frame.tell({ people: rows.map(({ name, phones }) => ({ name, phones })) });
    const $bar = $('<div class="bar" hidden><span class="bar__count"></span><div class="more"><button type="button" class="more__button"></button><div class="more__list"></div></div></div>').appendTo($page);
    $bar.find('.more__button').text(t.more).on('click', () => {
      drawBar($bar, list, kind); /* the widgets may have come in the meantime */
      $bar.find('.more').addClass('more_open');
    });
    const $table = $('<table class="list"><thead><tr><th><input type="checkbox" class="list__all"></th></tr></thead><tbody></tbody></table>').appendTo($page);
    [[t.name], ...columns[kind]].forEach(([name]) => $('<th>').text(name).appendTo($table.find('tr')));
    rows.forEach((row, i) => {
      const $check = $('<input type="checkbox" class="list__check">').val(row.id).attr('aria-label', row.name);
      const $row = $('<tr>').attr('data-id', row.id).append($('<td>').append($check), $('<td>').append(parts.avatar(row.name), parts.link(row)));
      columns[kind].forEach(([, field]) => $('<td>').append(cell[field](row, list.models[i])).appendTo($row));
      $row.appendTo($table.find('tbody'));
    });
    const tick = (box) => {
      list.ticked[box.checked ? 'add' : 'delete'](Number(box.value));
      $(box).closest('tr').toggleClass('list__ticked', box.checked);
    };
    $table.on('change', '.list__check', (e) => {
      tick(e.currentTarget);
      drawBar($bar, list, kind);
    });
    $table.on('change', '.list__all', (e) => {
      $table.find('.list__check').prop('checked', e.currentTarget.checked).each((i, box) => tick(box));
      drawBar($bar, list, kind);
    });
  };

  return (kind) => () => {
    const $page = parts.page(t[kind]);
    $.getJSON('/sandbox/list/' + kind).then(parts.here(({ items }) => draw($page, items, kind)));
  };
});
