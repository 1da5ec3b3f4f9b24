/* The pages: leads, contacts, a contact's card, a new contact. */
define(['jquery', 'app/session', 'app/actions'], function ($, session, actions) {
  'use strict';

  const { t } = session;

  const icons = {
    leads: 'M4 5h4v14H4zM10 5h4v9h-4zM16 5h4v6h-4z',
    contacts: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm0 2c-4.400 0-8 2.200-8 5v1h16v-1c0-2.800-3.600-5-8-5z',
    add: 'M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z',
  };
  const icon = (name) => '<svg viewBox="0 0 24 24"><path d="' + icons[name] + '"/></svg>';

  const initials = (name) => String(name).split(/\s+/).map((word) => word.charAt(0)).join('').slice(0, 2).toUpperCase();

  const phonesOf = (contact) =>
    (contact.custom_fields_values || []).filter((f) => f.field_code === 'PHONE').flatMap((f) => f.values).map((v) => v.value);

  const phoneLink = (value, contact, inCard) =>
    $('<button type="button" class="phone">').text(value).on('click', (e) => {
      e.stopPropagation();
      actions.clicked($(e.currentTarget), value, contact, inCard);
    });

  const page = (title) => {
    $('#title').text(title);
    document.title = title + ' · ' + session.user.name;
    $('.menu a').each((i, a) => $(a).toggleClass('active', a.getAttribute('href') === location.pathname));
    return $('#page').empty().scrollTop(0);
  };

  /* The answer is drawn only if the user is still where he asked. */
  const here = (fn) => {
    const asked = location.pathname;
    return (...args) => asked === location.pathname && fn(...args);
  };

  const all = (answer, kind) => (answer ? answer._embedded[kind] : []);

  const when = (seconds) => new Date(seconds * 1000).toLocaleString(session.lang, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

  const drawFeed = ($feed, notes) => {
    $feed.empty();
    if (!notes.length) $('<p class="feed__empty">').text(t.noNotes).appendTo($feed);
    notes.forEach((note) => {
      const $note = $('<article class="note"><div class="note__meta"></div><div class="note__text"></div></article>').appendTo($feed);
      $note.find('.note__meta').text(session.userName(note.created_by) + ' · ' + when(note.created_at));
      $note.find('.note__text').text(note.params.text);
    });
  };

  return {
    menu() {
      const links = [['leads', '/leads/'], ['contacts', '/contacts/list/'], ['add', '/contacts/add/']];
      const $menu = $('#menu').append('<div class="menu__brand"></div>');
      links.forEach(([name, href]) => {
        $('<a>').attr({ href, title: t[name] }).append(icon(name), $('<span>').text(t[name])).appendTo($menu);
      });
      $('#me').text(initials(session.user.name));
    },

    leads() {
      const $board = $('<div class="board">').appendTo(page(t.leads));
      const columns = [t.newLead, t.talks, t.decision].map((name, i) => $('<section class="column">').attr('data-step', i).append($('<h2>').text(name)).appendTo($board));
      $.getJSON('/api/v4/contacts').then(here((answer) => {
        all(answer, 'contacts').forEach((contact, i) => {
          const sum = (12 + ((contact.id * 7) % 80)) + ' 000 ' + t.currency;
          $('<a class="lead">').attr('href', '/contacts/detail/' + contact.id)
            .append($('<b>').text(contact.name), $('<span>').text(sum), $('<i>').text(session.userName(contact.responsible_user_id)))
            .appendTo(columns[i % columns.length]);
        });
      }));
    },

    contacts() {
      const $table = $('<table class="list"><thead><tr></tr></thead><tbody></tbody></table>').appendTo(page(t.contacts));
      [t.name, t.phone, t.responsible].forEach((name) => $('<th>').text(name).appendTo($table.find('tr')));
      $.getJSON('/api/v4/contacts').then(here((answer) => {
        all(answer, 'contacts').forEach((contact) => {
          const $phones = $('<td>').append(phonesOf(contact).map((value) => phoneLink(value, contact, false)));
          const $name = $('<a>').attr('href', '/contacts/detail/' + contact.id).text(contact.name);
          $('<tr>').append($('<td>').append($('<span class="avatar">').text(initials(contact.name)), $name), $phones,
            $('<td>').text(session.userName(contact.responsible_user_id))).appendTo($table.find('tbody'));
        });
      }));
    },

    contact(id) {
      const $page = page(t.contact);
      const loadNotes = ($feed) => $.getJSON('/api/v4/contacts/' + id + '/notes').then(here((answer) => drawFeed($feed, all(answer, 'notes'))));
      $(document).off('card:note').on('card:note', here((e, contact) => contact === id && loadNotes($('.feed__notes'))));
      $.getJSON('/api/v4/contacts/' + id).then(here((contact) => {
        const $card = $('<section class="card">').append($('<h2>').append($('<span class="avatar">').text(initials(contact.name)), $('<span>').text(contact.name)));
        const field = (label, $value) => $('<div class="field">').append($('<label>').text(label), $value).appendTo($card);
        phonesOf(contact).forEach((value) => field(t.phone, phoneLink(value, contact, true)));
        field(t.responsible, $('<span>').text(session.userName(contact.responsible_user_id)));
        const $feed = $('<section class="feed">').append($('<h3>').text(t.notes), '<div class="feed__notes"></div>');
        $('<div class="detail">').append($card, $feed).appendTo($page);
        loadNotes($feed.find('.feed__notes'));
      }), here(() => $page.append($('<p class="feed__empty">').text(t.missing))));
    },

    add(id, router) {
      const $form = $('<form class="card card_new">').append($('<h2>').text(t.add)).appendTo(page(t.add));
      const field = (label, name, value) => $('<div class="field">').append($('<label>').text(label).attr('for', name), $('<input>').attr({ id: name, name, value })).appendTo($form);
      field(t.name, 'name', '');
      field(t.phone, 'phone', new URLSearchParams(location.search).get('phone') || '');
      $('<button class="save">').text(t.save).appendTo($form);
      $form.on('submit', (e) => {
        e.preventDefault();
        const value = (name) => $form.find('[name="' + name + '"]').val();
        const contact = { name: value('name') || value('phone'), custom_fields_values: [{ field_code: 'PHONE', values: [{ value: value('phone') }] }] };
        $.ajax({ url: '/api/v4/contacts', method: 'POST', contentType: 'application/json', data: JSON.stringify([contact]), dataType: 'json' })
          .then((answer) => router.navigate('/contacts/detail/' + all(answer, 'contacts')[0].id));
      });
    },
  };
});
