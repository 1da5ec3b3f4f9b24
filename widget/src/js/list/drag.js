/* Changing the order of rows: by dragging their grips, and with Alt and the arrow keys. */
define(['jquery'], function ($) {
  'use strict';

  const edge = 28; /* px at the ends of the list where it scrolls */
  const pace = 14; /* px at a time */

  return class Drag {
    /* $root   listens, .ringcast-list__rows in it holds the rows      ns  namespace of events on the document
       drop    (key, index) when a row has found its new place         cancelled  () when it is to go back */
    constructor({ $root, ns, drop, cancelled }) {
      Object.assign(this, { $root, ns, drop, cancelled });
      this.row = null; /* the one that is dragged */
    }

    get dragging() {
      return this.row !== null;
    }

    bind() {
      this.$root.on('pointerdown', '[data-do=grip]', (e) => this.grab(e)).on('keydown', '.ringcast-row', (e) => this.key(e));
    }

    rows() {
      return this.$root.find('.ringcast-list__rows').children().get();
    }

    key(e) {
      const by = { ArrowUp: -1, ArrowDown: 1 }[e.key];
      if (!e.altKey || !by) return;
      e.preventDefault();
      const rows = this.rows();
      const index = rows.indexOf(e.currentTarget) + by;
      if (index >= 0 && index < rows.length) this.drop(e.currentTarget.dataset.key, index);
    }

    grab(e) {
      if (this.dragging || e.originalEvent.button > 0) return;
      e.preventDefault();
      const row = $(e.currentTarget).closest('.ringcast-row')[0];
      $(e.currentTarget).trigger('focus');
      this.row = row;
      this.list = row.parentNode;
      this.hold = e.originalEvent.clientY - row.getBoundingClientRect().top; /* where in the row it was taken */
      this.y = e.originalEvent.clientY;
      $(row).addClass('ringcast-row_dragged');
      const ns = this.ns + '.drag';
      $(document)
        .on('pointermove' + ns, ({ originalEvent }) => this.move(originalEvent.clientY))
        .on('pointerup' + ns, () => this.end(true))
        .on('pointercancel' + ns, () => this.end(false))
        .on('keydown' + ns, (pressed) => pressed.key === 'Escape' && this.end(false));
      $(this.list).on('scroll' + ns, () => this.place());
    }

    move(y) {
      this.y = y;
      const { top, bottom } = this.list.getBoundingClientRect();
      if (y < top + edge) this.list.scrollTop -= pace;
      if (y > bottom - edge) this.list.scrollTop += pace;
      this.place();
    }

    /* The row goes with the pointer, and the others make way. */
    place() {
      const { row, list } = this;
      row.style.transform = '';
      const frame = list.getBoundingClientRect();
      const want = this.y - this.hold;
      const middle = want + row.offsetHeight / 2;
      const centre = (other) => {
        const box = other.getBoundingClientRect();
        return box.top + box.height / 2;
      };
      while (row.previousElementSibling && middle < centre(row.previousElementSibling)) list.insertBefore(row, row.previousElementSibling);
      while (row.nextElementSibling && middle > centre(row.nextElementSibling)) list.insertBefore(row.nextElementSibling, row);
      const inside = Math.max(frame.top, Math.min(want, frame.bottom - row.offsetHeight));
      row.style.transform = 'translateY(' + (inside - row.getBoundingClientRect().top) + 'px)';
    }

    end(kept) {
      const { row } = this;
      if (!row) return;
      const ns = this.ns + '.drag';
      $(document).off('pointermove' + ns + ' pointerup' + ns + ' pointercancel' + ns + ' keydown' + ns);
      $(this.list).off('scroll' + ns);
      row.style.transform = '';
      $(row).removeClass('ringcast-row_dragged');
      this.row = null;
      if (kept) this.drop(row.dataset.key, this.rows().indexOf(row));
      else this.cancelled();
    }
  };
});
