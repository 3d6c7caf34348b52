/** The files that are being judged, and the list of them on the page. */
import { button, byId, h } from './dom.ts';
import { DROPPABLE, ROLE_WORDS, ROLES, type Role, roleOf } from './roles.ts';

export interface Loaded {
  readonly name: string;
  readonly bytes: Uint8Array;
}
export type Files = ReadonlyMap<Role, Loaded>;

/** More is no evidence, and reading it would only make the page slow. */
const LIMIT = 4 * 1024 * 1024;

/** Watches everything that files come from. @param changed called behind every change */
export function watchFiles(changed: (files: Files) => void): void {
  const files = new Map<Role, Loaded>();
  const show = (): void => {
    showSlots(files, (role) => {
      files.delete(role);
      show();
    });
    changed(files);
  };
  const take = (loaded: Loaded): void => {
    files.set(roleOf(loaded.bytes), loaded);
  };
  const takeAll = async (list: Iterable<File>): Promise<void> => {
    complain('');
    for (const file of list) {
      try {
        if (file.size > LIMIT) complain(`${file.name} is too large: it has ${file.size} bytes. ${DROPPABLE}`);
        else if (file.size === 0) complain(`${file.name} is empty. ${DROPPABLE}`);
        else take({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) });
      } catch {
        complain(`${file.name} cannot be read; a folder cannot be dropped. ${DROPPABLE}`);
      }
    }
    show();
  };

  const picker = byId<HTMLInputElement>('files');
  picker.addEventListener('change', () => {
    const list = [...(picker.files ?? [])];
    picker.value = ''; // the same file again is a change, too
    void takeAll(list);
  });
  watchDrop(takeAll);
  const paste = byId<HTMLTextAreaElement>('paste');
  byId('use-paste').addEventListener('click', () => {
    complain('');
    const bytes = new TextEncoder().encode(paste.value);
    if (paste.value.trim() === '') return complain(`Nothing was pasted. ${DROPPABLE}`);
    if (bytes.length > LIMIT) return complain(`The text is too large: it has ${bytes.length} bytes.`);
    take({ name: 'pasted text', bytes });
    show();
  });
  showSlots(files, () => {});
}

function watchDrop(takeAll: (list: Iterable<File>) => Promise<void>): void {
  const zone = byId('drop');
  // anywhere on the page: a file that misses the zone must not replace the page
  window.addEventListener('dragover', (event) => {
    event.preventDefault();
    zone.classList.add('over');
  });
  window.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) zone.classList.remove('over');
  });
  window.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove('over');
    const list = [...(event.dataTransfer?.files ?? [])];
    if (list.length === 0) complain(`What was dropped is not a file. ${DROPPABLE}`);
    else void takeAll(list);
  });
}

/** A plain sentence about what was given; empty when there is nothing to say. */
export function complain(text: string): void {
  const place = byId('complaint');
  place.hidden = text === '';
  place.replaceChildren(h('span', {}, text));
}

function showSlots(files: Files, remove: (role: Role) => void): void {
  byId('slots').replaceChildren(
    ...ROLES.flatMap((role) => {
      const { name, absent } = ROLE_WORDS[role];
      const loaded = files.get(role);
      if (loaded === undefined && absent === undefined) return [];
      if (loaded === undefined) return [h('dt', {}, name), h('dd', {}, h('span', { class: 'soft' }, absent))];
      return [
        h('dt', {}, name),
        h(
          'dd',
          {},
          loaded.name,
          h('span', { class: 'soft' }, `${loaded.bytes.length} bytes`),
          button({ class: 'plain', 'aria-label': `Remove ${name}` }, 'remove', () => remove(role)),
        ),
      ];
    }),
  );
}
