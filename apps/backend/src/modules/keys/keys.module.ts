import { Module } from '@nestjs/common';
import { IdempotencyModule } from '../idempotency/index.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysService } from './api-keys.service.js';
import { SshKeysController } from './ssh-keys.controller.js';
import { SshKeysService } from './ssh-keys.service.js';

/** What opens doors: API keys for the platform, SSH keys for instances. Host keys belong to the nodes. */
@Module({
  imports: [IdempotencyModule],
  controllers: [ApiKeysController, SshKeysController],
  providers: [ApiKeysService, SshKeysService],
})
export class KeysModule {}
