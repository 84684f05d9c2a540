import { Injectable, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type Offer, type OfferQuery } from '@dcompute/shared-types';
import { Bus, CURSOR_PART, Database, type Tx, decodeCursor, encodeCursor, notFound } from '../../infra/index.js';
import { offerIdOf } from './offer-id.js';
import {
  type OfferFilter,
  findNodeForOffers,
  findOffer,
  refreshAvailability,
  replaceOffers,
  searchOffers,
} from './offers.repository.js';
import { formatRates, priceShape } from './price.js';
import { shapesOf } from './shapes.js';

/** Offers: what can be rented of each node, projected from its specs, prices, free capacity and health. */
@Injectable()
export class OffersService implements OnModuleInit, OnModuleDestroy {
  readonly #subscriptions: (() => void)[] = [];

  constructor(
    private readonly db: Database,
    private readonly bus: Bus,
  ) {}

  onModuleInit(): void {
    this.#subscriptions.push(
      this.bus.subscribe('node.health_changed', ({ nodeId }) =>
        this.db.transaction((tx) => this.refreshAvailability(tx, [nodeId])),
      ),
    );
  }

  onModuleDestroy(): void {
    for (const end of this.#subscriptions) end();
  }

  /** Rewrites a node's offers from its specs, prices and capacity. Shapes keep their ids; an unknown node has none. */
  async projectNode(tx: Tx, nodeId: string): Promise<void> {
    const node = await findNodeForOffers(tx, nodeId);
    if (!node) return;
    const shapes = shapesOf({ ...node, gpus: node.gpuModels.map((model) => ({ model })) });
    const offers = shapes.map((shape) => ({
      ...shape,
      id: offerIdOf(nodeId, shape.shapeKey),
      rates: formatRates(priceShape(shape, node.pricingConfig)),
    }));
    await replaceOffers(tx, nodeId, offers);
    await this.refreshAvailability(tx, [nodeId]);
  }

  /** Sets `available` of these nodes' offers by what is free and healthy now, in the transaction that changed it. */
  async refreshAvailability(tx: Tx, nodeIds: readonly string[]): Promise<void> {
    await refreshAvailability(tx, nodeIds);
  }

  /** Available offers, cheapest first. `viewerId` null: a visitor of a public market. */
  async search(query: OfferQuery, viewerId: string | null): Promise<{ items: Offer[]; nextCursor: string | null }> {
    const position = decodeCursor(query.cursor, [CURSOR_PART.amount, CURSOR_PART.uuid]);
    const [pricePerHour, id] = position ?? [];
    const after = pricePerHour !== undefined && id !== undefined ? { pricePerHour, id } : null;
    const items = await searchOffers(this.db, filterOf(query), viewerId, after, query.limit);
    const last = items.length === query.limit ? items.at(-1) : undefined;
    return { items, nextCursor: last ? encodeCursor([last.pricePerHour, last.id]) : null };
  }

  /** One offer, whether available or not. Throws `resource.not_found`. */
  async get(offerId: string, viewerId: string | null): Promise<Offer> {
    const offer = await findOffer(this.db, offerId, viewerId);
    if (!offer) throw notFound('offer');
    return offer;
  }
}

function filterOf(query: OfferQuery): OfferFilter {
  return {
    gpuModel: query.gpuModel ?? null,
    minGpuCount: query.minGpuCount ?? null,
    maxGpuCount: query.maxGpuCount ?? null,
    minCpuMillicores: query.minCpuCores === undefined ? null : Math.ceil(query.minCpuCores * 1000),
    minRamMib: query.minRamMib ?? null,
    minDiskGib: query.minDiskGib ?? null,
    maxPricePerHour: query.maxPricePerHour ?? null,
    nodeId: query.nodeId ?? null,
  };
}
