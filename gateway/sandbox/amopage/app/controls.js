/* The CRM's own twig templates that a widget may render by {ref: '/tmpl/controls/….twig'}: those of forms. */
define({
  input: '<input class="text-input {{ class_name }}" type="{{ type|default("text") }}" name="{{ name }}" id="{{ id }}" value="{{ value|e }}" placeholder="{{ placeholder|e }}" autocomplete="off"{% if readonly %} readonly{% endif %}>',
  textarea: '<textarea class="text-input text-input-textarea {{ class_name }}" name="{{ name }}" id="{{ id }}" placeholder="{{ placeholder|e }}">{{ value|e }}</textarea>',
  select: '<select class="text-input {{ class_name }}" name="{{ name }}" id="{{ id }}">{% for item in items %}<option value="{{ item.id|e }}"{% if item.id == selected %} selected{% endif %}>{{ item.option|e }}</option>{% endfor %}</select>',
  checkbox: '<label class="control-checkbox {{ class_name }}"><input type="checkbox" name="{{ name }}" id="{{ id }}" value="{{ value|e }}"{% if checked %} checked{% endif %}{% if disabled %} disabled{% endif %}> <span>{{ text|e }}</span></label>',
  button: '<button type="{{ type|default("button") }}" class="button-input {{ class_name }}" name="{{ name }}" id="{{ id }}"><span class="button-input-inner">{{ text|e }}</span></button>',
  cancel_button: '<button type="button" class="button-cancel {{ class_name }}" id="{{ id }}"><span>{{ text|e }}</span></button>',
  delete_button: '<button type="button" class="button-delete {{ class_name }}" id="{{ id }}"><span>{{ text|e }}</span></button>',
});
