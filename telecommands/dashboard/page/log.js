const NAMESPACE = 'log';
const SPACE = 'flightsw.log';
const KEY = 'operator';

/**
 * The operator's log: a notebook in the browser's storage, made at the first visit.
 *
 * @param {object} openmct
 */
export function installLog(openmct) {
  if (window.localStorage.getItem(SPACE) === null) {
    window.localStorage.setItem(SPACE, JSON.stringify({ [KEY]: notebook() }));
  }
  openmct.install(openmct.plugins.LocalStorage(NAMESPACE, SPACE));
  openmct.objects.addRoot({ namespace: NAMESPACE, key: KEY });
}

function notebook() {
  const now = Date.now();
  const page = { id: 'first', name: 'Log', isDefault: true, isSelected: true, pageTitle: 'Page' };
  const section = { id: 'shift', name: 'Operations', isDefault: true, isSelected: true };
  return {
    identifier: { namespace: NAMESPACE, key: KEY },
    type: 'notebook',
    name: "Operator's log",
    location: 'ROOT',
    created: now,
    modified: now,
    persisted: now,
    configuration: {
      defaultSort: 'newest',
      entries: {},
      imageMigrationVer: 'v1',
      pageTitle: 'Page',
      sections: [{ ...section, pages: [page], sectionTitle: 'Section' }],
      sectionTitle: 'Section',
      type: 'General',
    },
  };
}
