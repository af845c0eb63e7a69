#pragma once
typedef int BOOL;
typedef unsigned long DWORD;
typedef long LONG;
typedef void *HANDLE, *LPVOID;
typedef union {
    struct {
        DWORD LowPart;
        LONG HighPart;
    } u;
    long long QuadPart;
} LARGE_INTEGER;
typedef struct {
    void *p;
} SRWLOCK, CONDITION_VARIABLE;
#define WINAPI __stdcall
#define INFINITE 0xffffffffu
void InitializeSRWLock(SRWLOCK *), AcquireSRWLockExclusive(SRWLOCK *),
    ReleaseSRWLockExclusive(SRWLOCK *), InitializeConditionVariable(CONDITION_VARIABLE *),
    WakeAllConditionVariable(CONDITION_VARIABLE *);
BOOL SleepConditionVariableSRW(CONDITION_VARIABLE *, SRWLOCK *, DWORD, unsigned long);
HANDLE CreateThread(void *, size_t, DWORD(WINAPI *)(LPVOID), LPVOID, DWORD, DWORD *);
DWORD WaitForSingleObject(HANDLE, DWORD);
BOOL CloseHandle(HANDLE);
BOOL SwitchToThread(void);
BOOL QueryPerformanceCounter(LARGE_INTEGER *), QueryPerformanceFrequency(LARGE_INTEGER *);
#define InterlockedOr _InterlockedOr
#define InterlockedExchange _InterlockedExchange
#define InterlockedExchangeAdd _InterlockedExchangeAdd
#define InterlockedCompareExchange _InterlockedCompareExchange
