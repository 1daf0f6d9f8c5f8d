import { element } from './element.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/**
 * A choice of values that the service lists, beside a control that takes any value.
 *
 * @param {import('./bridge.js').Argument} argument
 * @param {{enter: (value: string) => void}} control
 */
export function offeredValues({ name }, control) {
  const choice = element('select', { ariaLabel: `${name} on board`, hidden: true });
  const remark = element('span', { role: 'status' });
  const again = element('button', { type: 'button', className: 'c-button', textContent: 'List again' });
  again.hidden = true;
  choice.onchange = () => choice.value && control.enter(choice.value);

  /** @param {() => Promise<object>} list */
  const load = async (list) => {
    again.hidden = true;
    remark.textContent = 'Listing what is on board …';
    try {
      const result = await list();
      const records = Object.values(result).find(Array.isArray) ?? [];
      choice.replaceChildren(
        element('option', { value: '', textContent: `choose one of ${records.length} on board…` }),
        ...records.map((record) => optionOf(record, name)),
      );
      choice.hidden = !records.length;
      remark.textContent = remarkOn(result, records);
    } catch (error) {
      remark.textContent = error.message;
    }
    again.hidden = false;
    again.onclick = () => load(list);
  };
  const node = element('div', { className: 'telecommand__offers' }, choice, again, remark);
  return { node, load };
}

function optionOf(record, name) {
  const size = typeof record.size === 'number' ? ` (${readable(record.size)})` : '';
  return element('option', { value: record[name], textContent: record[name] + size });
}

function remarkOn({ total, remark }, records) {
  const more = total > records.length ? `the newest ${records.length} of ${total}` : '';
  return [remark, more].filter(Boolean).join('; ');
}

/** @param {number} bytes */
function readable(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}
