import { addIndicator } from './indicator.js';

const PLACE = 'flightsw.theme';
const DARK = 'Espresso';
const LIGHT = 'Snow';

/**
 * Open MCT's dark or light theme, as this browser chose last; the status bar changes it.
 *
 * @param {object} openmct
 */
export function installTheme(openmct) {
  const indicator = addIndicator(openmct, 'flightsw.theme');
  const show = (theme) => {
    openmct.install(openmct.plugins[theme]());
    indicator.text(`Theme ${theme}`);
    indicator.description(`Change to the ${other(theme) === LIGHT ? 'light' : 'dark'} theme`);
    indicator.iconClass('icon-paint-bucket');
    indicator.statusClass('s-status-on');
    return theme;
  };
  let shown = show(window.localStorage.getItem(PLACE) === LIGHT ? LIGHT : DARK);
  indicator.on('click', () => {
    shown = show(other(shown));
    window.localStorage.setItem(PLACE, shown);
  });
}

const other = (theme) => (theme === LIGHT ? DARK : LIGHT);
