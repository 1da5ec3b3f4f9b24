/* APP (also AMOCRM): the parts of the CRM's global object that a telephony widget touches. */
define(['app/notifications', 'app/sdk', 'app/session'], function (notifications, parts, session) {
  'use strict';

  const { user, users } = session;

  const managers = {};
  users.forEach(({ id, name, admin, free, theme }) => {
    managers[String(id)] = { id: String(id), title: name, option: name, active: true, is_admin: admin ? 'Y' : 'N', free_user: free ? 'Y' : 'N', status: 'A', theme };
  });

  const constants = {
    user: { id: user.id, name: user.name, login: 'user' + user.id + '@example.com', theme: user.theme, settings: {}, api_key: '' },
    user_rights: { is_admin: user.admin, is_free_user: user.free },
    account: {
      id: session.account, name: session.subdomain, subdomain: session.subdomain, language: session.lang, unsorted_on: 'Y',
      users: Object.fromEntries(users.map(({ id, name }) => [id, name])), predefined_cf: { PHONE: { ID: 1 }, EMAIL: { ID: 2 } },
    },
    managers,
    groups: {},
    task_types: Object.fromEntries(session.task_types.map(({ id, name }) => [id, { id, name, option: name }])),
  };

  return {
    lang_id: session.lang,
    notifications,
    sdk: parts.sdk,
    widgets: parts.widgets,
    data: { current_card: false, current_list: false, current_entity: '' },
    constant: (key) => constants[key],
    isCard() {
      return Boolean(this.data.current_card);
    },
    getBaseEntity() {
      return this.data.current_entity;
    },
    getWidgetsArea() {
      return this.data.area;
    },
  };
});
