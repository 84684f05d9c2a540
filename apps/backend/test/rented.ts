import type { Rental } from '@dcompute/shared-types';
import { ApiProblem } from './backend-app.js';
import { type Market, type Renter, type TestNode, specsOf } from './market.js';

/** A rental of a test, with both its sides. */
export interface Rented {
  readonly renter: Renter;
  readonly node: TestNode;
  readonly rental: Rental;
  /** Its path in the API. */
  readonly path: string;
}

/** Rents the whole of a new node to a new renter. */
export async function rentWhole(
  market: Market,
  more: Parameters<Renter['rent']>[1] = {},
  specs = specsOf(),
): Promise<Rented> {
  const [renter, node] = await Promise.all([market.renter(), market.node(specs)]);
  const offers = await market.offersOf(node);
  const whole = offers.toSorted((a, b) => b.cpuMillicores - a.cpuMillicores || b.gpuCount - a.gpuCount)[0];
  const rental = await renter.rent(whole?.id ?? '', more);
  return { renter, node, rental, path: `/api/v1/rentals/${rental.id}` };
}

/** The rental as its renter sees it now. */
export async function viewOf({ renter, path }: Rented): Promise<Rental> {
  return await renter.client.get<Rental>(path);
}

/** The code that a request is refused with. */
export async function refusalOf(request: Promise<unknown>): Promise<string> {
  return await request.then(
    () => 'not refused',
    (error: unknown) => (error instanceof ApiProblem ? error.problem.code : String(error)),
  );
}
