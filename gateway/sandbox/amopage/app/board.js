/* The board of leads: what came in by itself, and a column for each stage that is not closed. And the menu at the left. */
define(['jquery', 'app/session', 'app/parts'], function ($, session, parts) {
  'use strict';

  const { t } = session;
  const stages = [101, 102, 103];

  return {
    menu() {
      const links = [
        ['leads', '/leads/', t.leads], ['list', '/leads/list/', t.list], ['contacts', '/contacts/list/', t.contacts],
        ['companies', '/companies/list/', t.companies], ['add', '/contacts/add/', t.add], ['settings', '/settings/widgets/', t.settings],
      ];
      const $menu = $('#menu').append('<div class="menu__brand"></div>');
      links.forEach(([name, href, text]) => {
        $('<a>').attr({ href, title: text }).append(parts.icon(name), $('<span>').text(text)).appendTo($menu);
      });
      $menu.append('<div class="menu__notifications"></div>');
      $('#me').replaceWith(parts.avatar(session.user.name));
    },

    leads() {
      const $board = $('<div class="board">').appendTo(parts.page(t.leads));
      $('<section class="column" data-step="in">').append($('<h2>').text(t.incoming)).appendTo($board);
      const columns = stages.map((stage, i) => $('<section class="column">').attr('data-step', i).append($('<h2>').text(parts.status(stage))).appendTo($board));
      $.getJSON('/sandbox/list/leads').then(parts.here(({ items }) => {
        items.filter((lead) => stages.includes(lead.status)).forEach((lead) => {
          const person = (lead.contacts || [])[0];
          $('<a class="lead">').attr('href', lead.url)
            .append($('<b>').text(lead.name), $('<span>').text(parts.money(lead.price)), $('<i>').text(person ? person.name : session.userName(lead.responsible)))
            .appendTo(columns[stages.indexOf(lead.status)]);
        });
      }));
    },
  };
});
