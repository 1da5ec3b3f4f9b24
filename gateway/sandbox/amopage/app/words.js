/* What the page says, in the languages it speaks. */
define({
  ru: {
    leads: 'Сделки', contacts: 'Контакты', add: 'Новый контакт', contact: 'Контакт', name: 'Имя', phone: 'Телефон', company: 'Компания',
    responsible: 'Ответственный', save: 'Сохранить', notes: 'Лента', noNotes: 'Здесь появятся примечания и звонки.', calling: 'Разговор',
    widgetError: 'Ошибка виджета', missing: 'Такого контакта нет.', newLead: 'Первичный контакт', talks: 'Переговоры', decision: 'Принимают решение', currency: '₽',
  },
  en: {
    leads: 'Leads', contacts: 'Contacts', add: 'New contact', contact: 'Contact', name: 'Name', phone: 'Phone', company: 'Company',
    responsible: 'Responsible', save: 'Save', notes: 'Feed', noNotes: 'Notes and calls will show here.', calling: 'In a call',
    widgetError: 'Widget error', missing: 'There is no such contact.', newLead: 'First contact', talks: 'Negotiation', decision: 'Decision', currency: '€',
  },
});
