/** What a node has in all, and the healthy GPUs in it. */
export interface NodeResources {
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
  readonly gpus: readonly { readonly model: string }[];
}

/** A slice of a node that can be rented. `shapeKey` names it for as long as the node has such a slice. */
export interface Shape {
  readonly shapeKey: string;
  readonly gpuModel: string | null;
  readonly gpuCount: number;
  readonly cpuMillicores: number;
  readonly ramMib: number;
  readonly diskGib: number;
}

/** The host's own part, which no shape contains: the engine, the agent and the images live on it. */
const RESERVE = { ramMib: 256, diskGib: 1, percent: 5 } as const;
/** A slice below these is of no use to a renter. */
const SMALLEST = { cpuMillicores: 1000, ramMib: 256, diskGib: 1 } as const;
/** No more disk than this comes with a core or a GPU, so that one stopped rental does not tie up all of a large disk. */
const DISK_CAP_GIB = { perCore: 64, perGpu: 1024 } as const;

/**
 * The shapes of a node: with GPUs 1, 2, 4, ... n of each model with their share of CPU, RAM and disk; without GPUs the
 * whole node and its halves, quarters, ... down to one core. All slices of one kind together never exceed the node.
 */
export function shapesOf(node: NodeResources): Shape[] {
  const rentable = lessReserve(node);
  const shapes = node.gpus.length > 0 ? gpuShapes(node, rentable) : cpuShapes(rentable);
  return shapes.filter(
    (shape) =>
      shape.cpuMillicores >= SMALLEST.cpuMillicores &&
      shape.ramMib >= SMALLEST.ramMib &&
      shape.diskGib >= SMALLEST.diskGib,
  );
}

type Rentable = Omit<NodeResources, 'gpus'>;

function lessReserve(node: NodeResources): Rentable {
  const keep = (total: number, least: number) => Math.max(least, Math.ceil((total * RESERVE.percent) / 100));
  return {
    cpuMillicores: node.cpuMillicores,
    ramMib: node.ramMib - keep(node.ramMib, RESERVE.ramMib),
    diskGib: node.diskGib - keep(node.diskGib, RESERVE.diskGib),
  };
}

function gpuShapes(node: NodeResources, rentable: Rentable): Shape[] {
  const countByModel = new Map<string, number>();
  for (const gpu of node.gpus) countByModel.set(gpu.model, (countByModel.get(gpu.model) ?? 0) + 1);
  return [...countByModel].flatMap(([gpuModel, count]) =>
    doublingsUpTo(count).map((gpuCount) => ({
      shapeKey: `gpu:${gpuModel}:${gpuCount}`,
      gpuModel,
      gpuCount,
      ...share(rentable, gpuCount, node.gpus.length, gpuCount * DISK_CAP_GIB.perGpu),
    })),
  );
}

function cpuShapes(rentable: Rentable): Shape[] {
  const cores = Math.floor(rentable.cpuMillicores / 1000);
  const shapes: Shape[] = [];
  for (let parts = 1; parts === 1 || parts <= cores; parts *= 2) {
    const cpuMillicores = parts === 1 ? rentable.cpuMillicores : Math.floor(cores / parts) * 1000;
    const slice = share(rentable, 1, parts, Math.ceil(cpuMillicores / 1000) * DISK_CAP_GIB.perCore);
    shapes.push({ shapeKey: `cpu:${parts}`, gpuModel: null, gpuCount: 0, ...slice, cpuMillicores });
  }
  return shapes;
}

/** 1, 2, 4, ... and `count` itself. */
function doublingsUpTo(count: number): number[] {
  const doublings: number[] = [];
  for (let value = 1; value < count; value *= 2) doublings.push(value);
  return [...doublings, count];
}

function share(rentable: Rentable, parts: number, of: number, diskCapGib: number) {
  const part = (total: number) => Math.floor((Math.max(total, 0) * parts) / of);
  return {
    cpuMillicores: part(rentable.cpuMillicores),
    ramMib: part(rentable.ramMib),
    diskGib: Math.min(part(rentable.diskGib), diskCapGib),
  };
}
