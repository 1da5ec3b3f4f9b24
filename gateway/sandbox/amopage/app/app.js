/* APP (also AMOCRM): the parts of the CRM's global object that a telephony widget touches. */
define(['jquery', 'app/session', 'app/notifications', 'app/probe'], function ($, session, notifications, probe) {
  'use strict';

  const { user, users } = session;
  let calling = false;

  const managers = {};
  users.forEach(({ id, name, admin, theme }) => {
    managers[String(id)] = { id: String(id), title: name, option: name, active: true, is_admin: admin ? 'Y' : 'N', free_user: 'N', status: 'A', theme };
  });

  const constants = {
    user: { id: user.id, name: user.name, login: 'user' + user.id + '@example.com', theme: user.theme, settings: {}, api_key: '' },
    user_rights: { is_admin: user.admin, is_free_user: false },
    account: {
      id: session.account, name: session.subdomain, subdomain: session.subdomain, language: session.lang, unsorted_on: 'Y',
      users: Object.fromEntries(users.map(({ id, name }) => [id, name])), predefined_cf: { PHONE: { ID: 1 }, EMAIL: { ID: 2 } },
    },
    managers,
    groups: {},
    task_types: {},
  };

  return {
    lang_id: session.lang,
    notifications,
    data: { current_card: false, current_entity: '' },
    constant: (key) => constants[key],
    isCard: function () {
      return Boolean(this.data.current_card);
    },
    getBaseEntity: function () {
      return this.data.current_entity;
    },
    getWidgetsArea: function () {
      return this.data.area;
    },
    sdk: {
      setCallingStatus(on) {
        if (typeof on !== 'boolean') probe.errors.push('setCallingStatus takes a boolean, got ' + typeof on);
        calling = Boolean(on);
        probe.callingStatus.push(calling);
        $('#calling').text(session.t.calling).prop('hidden', !calling);
      },
      getCallingStatus: () => calling,
    },
  };
});
