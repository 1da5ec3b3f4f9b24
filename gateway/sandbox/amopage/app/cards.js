/* The card of a contact, a company, a lead or a customer, and the form for a new contact. */
define(['jquery', 'app/app', 'app/session', 'app/parts', 'app/frame'], function ($, APP, session, parts, frame) {
  'use strict';

  const { t } = session;

  /* A model of the linked entity: its name is a text here. */
  const model = (row) => {
    const attributes = { id: row.id, element_type: row.type, name: row.name };
    return { id: row.id, attributes, get: (key) => attributes[key], toJSON: () => ({ ...attributes }) };
  };

  const field = ($card, label, ...values) => $('<div class="field">').append($('<label>').text(label), ...values).appendTo($card);

  const drawItem = ($card, row) => {
    $card.append($('<h2>').append(parts.avatar(row.name), $('<span>').text(row.name)));
    if (row.kind === 'leads') {
      field($card, t.stage, $('<span class="stage">').attr('data-status', row.status).text(parts.status(row.status)));
      field($card, t.sum, $('<span>').text(parts.money(row.price) || '—'));
    }
    row.phones.forEach((value) => field($card, t.phone, parts.phoneLink(value, model(row), true)));
    row.emails.forEach((value) => field($card, 'Email', $('<span>').text(value)));
    if (row.company) field($card, t.company, parts.link(row.company));
    field($card, t.responsible, $('<span>').text(session.userName(row.responsible)));
    (row.contacts || []).forEach((contact) => {
      const $field = field($card, t.contact, parts.link(contact));
      contact.phones.forEach((value) => $field.append(parts.phoneLink(value, model(contact), true)));
    });
    (row.leads || []).forEach((lead) => field($card, t.lead, parts.link(lead)));
    (row.customers || []).forEach((customer) => field($card, t.customer, parts.link(customer)));
  };

  const drawFeed = ($feed, { notes, tasks }) => {
    $feed.empty();
    if (!notes.length && !tasks.length) $('<p class="feed__empty">').text(t.noNotes).appendTo($feed);
    notes.forEach((note) => {
      const $note = $('<article class="note"><div class="note__meta"></div><div class="note__text"></div></article>').appendTo($feed);
      $note.find('.note__meta').text(session.userName(note.created_by) + ' · ' + parts.when(note.created_at));
      $note.find('.note__text').text(note.params.text);
    });
    tasks.forEach((task) => {
      const $task = $('<article class="note note_task"><div class="note__meta"></div><div class="task__text"></div></article>').appendTo($feed);
      $task.find('.note__meta').text(t.task + ' · ' + parts.when(task.complete_till) + ' · ' + session.userName(task.responsible_user_id));
      $task.find('.task__text').text(task.text);
    });
  };

  const card = (kind, title) => (id) => {
    const $page = parts.page(title);
    const ask = () => $.getJSON('/sandbox/card/' + kind + '/' + id);
    const again = (e, about) => {
      if (about.kind === kind && about.id === id) ask().then(parts.here((answer) => drawFeed($('.feed__notes'), answer)));
    };
    $(document).off('card:note').on('card:note', parts.here(again));
    ask().then(
      parts.here((answer) => {
        const people = kind === 'contacts' ? [answer.item] : answer.item.contacts || [];
        Object.assign(APP.data.current_card, { model: model(answer.item), people });
        frame.tell({ people: people.map(({ name, phones }) => ({ name, phones })) });
        const $card = $('<section class="card">');
        drawItem($card, answer.item);
        const $feed = $('<section class="feed">').append($('<h3>').text(t.notes), '<div class="feed__notes"></div>');
        $('<div class="detail">').append($card, $feed).appendTo($page);
        drawFeed($feed.find('.feed__notes'), answer);
      }),
      parts.here(() => $page.append($('<p class="feed__empty">').text(t.missing))),
    );
  };

  return {
    contacts: card('contacts', t.contact),
    companies: card('companies', t.company),
    leads: card('leads', t.lead),
    customers: card('customers', t.customer),

    add(id, router) {
      const $form = $('<form class="card card_new">').append($('<h2>').text(t.add)).appendTo(parts.page(t.add));
      const input = (label, name, value) => field($form, label, $('<input>').attr({ id: name, name, value })).find('label').attr('for', name);
      input(t.name, 'name', '');
      input(t.phone, 'phone', new URLSearchParams(location.search).get('phone') || '');
      $('<button class="save">').text(t.save).appendTo($form);
      $form.on('submit', (e) => {
        e.preventDefault();
        const value = (name) => $form.find('[name="' + name + '"]').val();
        const contact = { name: value('name') || value('phone'), custom_fields_values: [{ field_code: 'PHONE', values: [{ value: value('phone') }] }] };
        session.post('/sandbox/contacts', [contact]).then((answer) => router.navigate('/contacts/detail/' + answer._embedded.contacts[0].id));
      });
    },
  };
});
