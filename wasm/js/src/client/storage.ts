import type { Stats } from '../types/stats.js';

/** The storage of this origin; undefined where the browser does not tell. */
export async function storageStats(): Promise<Stats['storage']> {
  try {
    const { usage, quota } = await navigator.storage.estimate();
    if (usage === undefined || quota === undefined) return undefined;
    return { usage, quota, persisted: await navigator.storage.persisted() };
  } catch {
    return undefined;
  }
}

/**
 * Asks the browser not to evict what is stored. Without `force` only if the permission
 * stands already: Firefox would show a question that no person has asked for.
 */
export async function persist(force: boolean): Promise<void> {
  try {
    if (await navigator.storage.persisted()) return;
    const name = 'persistent-storage' as PermissionName;
    const granted = force || (await navigator.permissions.query({ name })).state === 'granted';
    if (granted) await navigator.storage.persist();
  } catch {
    // A wish; the cache works without it.
  }
}
