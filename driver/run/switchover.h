/*
 * switchover.h: the moment before a stopped guest's source gives it up
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

/**
 * switchover_watch: from now on QEMU goes on from pre-switchover when all is ready for it
 *
 * On the thread of libvirt's that has QEMU go on: guards are made where the policy wants them, and
 * a switch to postcopy whose channel has broken is refused while QEMU can still let the guest run
 * on.
 */
void switchover_watch(void);
