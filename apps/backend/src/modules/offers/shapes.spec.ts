import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type NodeResources, shapesOf } from './shapes.js';

const gpus = (model: string, count: number) => Array.from({ length: count }, () => ({ model }));

describe('shapesOf', () => {
  it('offers a 2-core machine whole and as one core', () => {
    const shapes = shapesOf({ cpuMillicores: 2000, ramMib: 24_000, diskGib: 100, gpus: [] });
    expect(shapes.map((shape) => [shape.shapeKey, shape.cpuMillicores])).toEqual([
      ['cpu:1', 2000],
      ['cpu:2', 1000],
    ]);
  });

  it('offers 1, 2, 4 and all GPUs of a model with their share of the node', () => {
    const shapes = shapesOf({ cpuMillicores: 48_000, ramMib: 600_000, diskGib: 10_000, gpus: gpus('H100', 6) });
    expect(shapes.map((shape) => shape.gpuCount)).toEqual([1, 2, 4, 6]);
    expect(shapes.map((shape) => shape.cpuMillicores)).toEqual([8000, 16_000, 32_000, 48_000]);
  });

  it('keeps GPU models of one node apart', () => {
    const shapes = shapesOf({
      cpuMillicores: 16_000,
      ramMib: 64_000,
      diskGib: 900,
      gpus: [...gpus('A100', 2), ...gpus('T4', 1)],
    });
    expect(shapes.map((shape) => shape.shapeKey)).toEqual(['gpu:A100:1', 'gpu:A100:2', 'gpu:T4:1']);
  });

  it('offers nothing of a node that is too small to share', () => {
    expect(shapesOf({ cpuMillicores: 1000, ramMib: 400, diskGib: 100, gpus: [] })).toEqual([]);
    expect(shapesOf({ cpuMillicores: 4000, ramMib: 8000, diskGib: 0, gpus: [] })).toEqual([]);
  });

  it('caps the disk that comes with a slice', () => {
    const [whole] = shapesOf({ cpuMillicores: 2000, ramMib: 8000, diskGib: 8_000_000, gpus: [] });
    expect(whole?.diskGib).toBe(128);
  });

  it('never lets the slices of one kind exceed the node, and names each once', () => {
    const node = fc.record({
      cpuMillicores: fc.integer({ min: 0, max: 512_000 }),
      ramMib: fc.integer({ min: 0, max: 4_000_000 }),
      diskGib: fc.integer({ min: 0, max: 100_000 }),
      gpus: fc.array(fc.record({ model: fc.constantFrom('A', 'B') }), { maxLength: 32 }),
    });
    fc.assert(
      fc.property(node, (resources: NodeResources) => {
        const shapes = shapesOf(resources);
        expect(new Set(shapes.map((shape) => shape.shapeKey)).size).toBe(shapes.length);
        for (const shape of shapes) {
          const [parts, of] =
            shape.gpuCount > 0 ? [shape.gpuCount, resources.gpus.length] : [1, divisorOf(shape.shapeKey)];
          expect(shape.cpuMillicores * of).toBeLessThanOrEqual(resources.cpuMillicores * parts);
          expect(shape.ramMib * of).toBeLessThan(resources.ramMib * parts);
          expect(shape.diskGib * of).toBeLessThan(resources.diskGib * parts);
        }
      }),
    );
  });
});

function divisorOf(shapeKey: string): number {
  return Number(shapeKey.slice('cpu:'.length));
}
