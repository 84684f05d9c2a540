/** A generation of one placement. */
export interface PlacementGeneration {
  readonly placementId: string;
  readonly gen: bigint;
}

/** What has to rise so that everything the database says next is newer than all that the node has seen. */
export interface Raise {
  readonly rev: bigint;
  readonly placements: readonly PlacementGeneration[];
}

/**
 * R6: a node that has seen a higher revision or generation than the database knows, or a placement that it does not know
 * at all, shows that the database was restored from a backup. Null when nothing does; the rule for "above" is + 1, since
 * an equal generation would count as a duplicate.
 */
export function raiseAfterRestore(
  known: { readonly rev: bigint; readonly gens: ReadonlyMap<string, bigint> },
  seen: { readonly rev: bigint; readonly gens: readonly PlacementGeneration[] },
): Raise | null {
  const placements = seen.gens.flatMap(({ placementId, gen }) => {
    const ours = known.gens.get(placementId);
    return ours !== undefined && ours < gen ? [{ placementId, gen: gen + 1n }] : [];
  });
  const unknown = seen.gens.some(({ placementId }) => !known.gens.has(placementId));
  if (seen.rev <= known.rev && placements.length === 0 && !unknown) return null;
  return { rev: (seen.rev > known.rev ? seen.rev : known.rev) + 1n, placements };
}
