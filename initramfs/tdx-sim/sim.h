/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DSTACK_TDX_SIM_H
#define DSTACK_TDX_SIM_H

#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/version.h>
#include <uapi/linux/tdx-guest.h>

/* From 6.16 on the kernel has tsm-mr and the tsm_report_ names. */
#define SIM_HAVE_TSM_MR (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0))

#define SIM_DIGEST_LEN 48
#define SIM_RTMR_COUNT 4
#define SIM_QUOTE_MAX 16384

/* Offsets in a TDREPORT (Intel TDX module ABI, structure TDREPORT_STRUCT). */
#define SIM_REPORTDATA 128
#define SIM_ATTRIBUTES 512
#define SIM_XFAM 520
#define SIM_MRTD 528
#define SIM_MRCONFIGID 576
#define SIM_MROWNER 624
#define SIM_MROWNERCONFIG 672
#define SIM_RTMR(i) (720 + (i) * SIM_DIGEST_LEN)

/* /dev/tdx_guest: extend a runtime register, as on kernels that have no measurement files. */
struct sim_extend {
	__u8 data[SIM_DIGEST_LEN];
	__u8 index;
} __packed;
#define SIM_CMD_EXTEND_RTMR _IOR('T', 3, struct sim_extend)

/* /dev/dstack_tdx_qe: the values that a TDX module and firmware would have left in the registers. */
struct sim_initial {
	__u8 mrtd[SIM_DIGEST_LEN];
	__u8 rtmr[SIM_RTMR_COUNT][SIM_DIGEST_LEN];
} __packed;
#define SIM_CMD_SET_INITIAL _IOW('D', 1, struct sim_initial)

struct attribute_group;

/* registers.c */
int sim_registers_init(void);
void sim_registers_exit(void);
const struct attribute_group *sim_registers_group(void);
int sim_registers_set_initial(const struct sim_initial *initial);
int sim_registers_extend(unsigned int index, const u8 *digest);
void sim_registers_report(const u8 *reportdata, bool for_quote, u8 *report);

/* quote.c */
int sim_quote_init(void);
void sim_quote_exit(void);

#endif
